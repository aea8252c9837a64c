"""The board of the live page: what it keeps, counts and tells."""

import asyncio
import json
import time
from datetime import datetime
from typing import Any

import pytest

from allocator.plan import Plan
from runtime.request import Event, SearchStep
from runtime.result import Receipt, Result
from runtime.server.live.page import Reader
from runtime.server.live.search import MAX_SOLUTIONS, MAX_STEPS
from runtime.server.live.store import LiveStore, RequestView
from runtime.strategies import STRATEGIES
from tests.support.fakes import coin_run
from tests.support.samples import make_sample

SECRET = "a secret of mine"


def begun(live_store: LiveStore, budget: int = 16) -> RequestView:
    return live_store.begin("chatcmpl-1", "base", budget, SECRET)


def result(generations: int = 6, **receipt: Any) -> Result:
    """An answer for a plan of best-of-n."""
    spent = {"sampled_tokens": 90, "seconds": 2.0, "prompt_tokens": 5, "cached_tokens": 0}
    spent |= {"verifier_tokens": 9, "verifier_cached_tokens": 0, "generations": generations}
    spent |= {"flops": 5e6}
    plan = Plan(strategy="best_of_n", n=generations)
    samples = tuple(make_sample(a, s) for a, s in ((SECRET, 0.9), ("7", 0.4), (SECRET, 0.2)))
    return Result(
        prompt=SECRET,
        answer=SECRET,
        solution=SECRET,
        score=0.9,
        receipt=Receipt.model_validate(spent | {"plan": plan, "why": "so"} | receipt),
        ranked=samples,
    )


def whole(live_store: LiveStore, view: RequestView) -> dict[str, Any]:
    (listed,) = (r for r in Reader(live_store, [view.number]).news()["requests"] if "whole" in r)
    return dict(listed)


def test_a_day_s_totals_end_at_midnight() -> None:
    now = datetime(2026, 3, 1, 23, 50).timestamp()
    live_store = LiveStore(show_prompts=False, clock=lambda: now)
    for generations in (6, 16):
        begun(live_store).finished(result(generations))
    begun(live_store).failed("engine: it is dead")
    late = begun(live_store)
    today = live_store.totals()["today"]
    assert (today["requests"], today["failures"], today["mean_seconds"]) == (3, 1, 2.0)
    assert (today["generations"], today["budgeted"], today["saved"]) == (22, 32, 10)
    assert today["sampled_tokens"] == 180
    assert today["flops"] == 1e7

    now += 660
    assert live_store.totals()["today"]["requests"] == 0
    late.finished(result(1))
    begun(live_store).cancelled()
    listed = live_store.totals()
    assert (
        listed["today"]["requests"],
        listed["today"]["saved"],
        listed["today"]["cancelled"],
    ) == (
        2,
        15,
        1,
    )
    assert (listed["since_start"]["requests"], listed["since_start"]["saved"]) == (5, 25)
    assert listed["minutes"][-12:] == [[22, 32], *[[0, 0]] * 10, [1, 16]]


def test_nothing_grows_without_bounds() -> None:
    live_store = LiveStore(show_prompts=True, keep=3)
    view = live_store.begin("i" * 10**6, "m" * 10**6, 16, "p" * 10**6)
    for place in range(3 * MAX_STEPS):
        view.on_event(Event(kind="step", step=SearchStep("beam_search", 8, 0, 1, place), score=0.5))
        view.on_event(Event(kind="solution", sample=place, answer=f"{place} " * 99, score=1))
    listed = whole(live_store, view)["whole"]
    assert len(listed["search"]["steps"]) == MAX_STEPS
    assert listed["search"]["steps_left_out"] == 2 * MAX_STEPS
    answers = len(listed["search"]["answers"]) + listed["search"]["answers_left_out"]
    assert answers == MAX_SOLUTIONS
    assert len(json.dumps(listed)) < 100_000

    ended = [begun(live_store) for _ in range(5)]
    for other in ended:
        other.cancelled()
    # The one that runs stays, and the last that ended.
    assert [c.number for c in live_store.views()] == [view.number, *(c.number for c in ended[-3:])]


def test_hidden_prompts_and_answers_are_not_kept() -> None:
    live_store = LiveStore(show_prompts=False)
    view, failing = begun(live_store), begun(live_store)
    for answer in (SECRET, "7", SECRET, None):
        view.on_event(Event(kind="solution", sample=0, answer=answer, score=0.5))
    running = whole(live_store, view)["whole"]["search"]["answers"]
    assert [(a["answer"], len(a["scores"])) for a in running] == [
        ("answer 1", 2),
        ("answer 2", 1),
        (None, 1),
    ]
    view.finished(result())
    failing.failed(f"prompt: {SECRET!r}: 99 tokens leave no room; shorten it")
    for kept in (view, failing, view.search):
        assert SECRET not in repr(vars(kept))
    listed = whole(live_store, failing)["whole"]["error"]
    assert listed == "prompt: ...: 99 tokens leave no room; shorten it"

    shown = LiveStore(show_prompts=True)
    view = begun(shown)
    view.finished(result())
    listed = whole(shown, view)
    assert listed["prompt"] == listed["answer"] == listed["whole"]["search"]["answers"][0]["answer"]
    assert listed["whole"]["search"]["answers"][0]["weight"] == pytest.approx(1.1)


def test_the_first_end_holds() -> None:
    live_store = LiveStore(show_prompts=True)
    view = begun(live_store)
    view.cancelled()
    view.finished(result())
    view.failed("too late")
    view.on_event(Event(kind="solution", sample=0))
    assert (whole(live_store, view)["status"], whole(live_store, view)["spent"]) == ("cancelled", 0)
    assert live_store.totals()["today"]["requests"] == 1


@pytest.mark.parametrize(
    "plan",
    [
        Plan(strategy="beam_search", n=12, beam_width=4, lookahead=1),
        Plan(strategy="dvts", n=12, beam_width=4),
    ],
)
def test_a_search_can_be_followed_from_every_end(tokenizer: Any, plan: Plan) -> None:
    live_store = LiveStore(show_prompts=True)
    view = begun(live_store)
    run = coin_run(tokenizer)
    run.on_event = view.on_event
    samples = asyncio.run(STRATEGIES[plan.strategy](run, plan, ()))
    listed = whole(live_store, view)
    assert listed["spent"] == run.cost.generations == plan.cost(0)

    search = listed["whole"]["search"]
    steps = {(round_, column): parent for round_, column, parent, _ in search["steps"]}
    assert len(steps) == len(search["steps"])
    assert {column for round_, column in steps if round_ == 0} == set(range(12))
    for (round_, _), parent in steps.items():
        assert (parent is None) == (round_ == 0)
        assert round_ == 0 or (round_ - 1, parent) in steps
    if plan.strategy == "dvts":  # no beam leaves its subtree
        assert all(parent // 4 == c // 4 for (_, c), parent in steps.items() if parent is not None)
    assert len({tuple(end) for end in search["ends"]}) == len(samples)
    assert {tuple(end) for end in search["ends"]} <= set(steps)

    answered = result(plan=plan).model_copy(update={"ranked": (samples[5], *samples[:5])})
    view.finished(answered)
    search = whole(live_store, view)["whole"]["search"]
    ends = list(zip(map(tuple, search["ends"]), samples, strict=True))
    chosen = next(sample for end, sample in ends if end == tuple(search["chosen"]))
    assert (chosen.score, chosen.tokens) == (samples[5].score, samples[5].tokens)


def test_a_lone_solution_is_told_without_a_score() -> None:
    live_store = LiveStore(show_prompts=True)
    view = begun(live_store)
    view.on_event(Event(kind="solution", sample=0, answer="7", score=float("nan")))
    view.finished(result().model_copy(update={"ranked": (make_sample("7", float("nan")),)}))
    search = whole(live_store, view)["whole"]["search"]
    assert search["answers"] == [{"answer": "7", "scores": [None], "weight": None}]


def test_a_reader_is_told_what_is_new_alone() -> None:
    live_store = LiveStore(show_prompts=True, keep=1, clock=lambda: 0.0)
    first, second = begun(live_store), begun(live_store)
    reader = Reader(live_store, [second.number])
    assert [r["number"] for r in reader.news()["requests"]] == [first.number, second.number]
    assert reader.news() == {}

    for place in range(3):
        step = SearchStep("beam_search", 8, 0, 0, place)
        second.on_event(Event(kind="step", step=step, score=0.25))
        if place == 1:
            assert len(reader.news()["requests"][0]["whole"]["search"]["steps"]) == 2
    (listed,) = reader.news()["requests"]
    assert listed["whole"]["search"]["steps"] == [(0, 2, None, 0.25)]
    assert listed["spent"] == 8

    second.cancelled()
    first.cancelled()
    news = reader.news()
    assert news["gone"] == [second.number]
    assert [r["number"] for r in news["requests"]] == [first.number]
    assert news["totals"]["today"]["cancelled"] == 2


def test_watching_takes_microseconds() -> None:
    view = begun(LiveStore(show_prompts=True))
    grown = SearchStep("beam_search", 16, 0, 2, 3)
    step = Event(kind="step", step=grown, parent_place=3, score=0.5)
    solution = Event(kind="solution", sample=3, answer="7", score=0.5)
    started = time.thread_time()
    for _ in range(1000):
        view.on_event(step)
        view.on_event(solution)
    assert (time.thread_time() - started) / 2000 < 100e-6
