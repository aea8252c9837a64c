"""The board of the live page: what it keeps, counts and tells."""

import asyncio
import json
import time
from datetime import datetime
from typing import Any

import pytest

from allocator.plan import Plan
from runtime.request import Event
from runtime.result import Receipt, Result
from runtime.server.live.page import Reader
from runtime.server.live.search import MOST_SOLUTIONS, MOST_STEPS
from runtime.server.live.store import Board, Card
from runtime.strategies import STRATEGIES
from tests.conftest import make_sample
from tests.support.fakes import coin_run

SECRET = "a secret of mine"


def begun(board: Board, budget: int = 16) -> Card:
    return board.begin("chatcmpl-1", "base", budget, SECRET)


def result(generations: int = 6, **receipt: Any) -> Result:
    """An answer for a plan of best-of-n."""
    spent = {"sampled_tokens": 90, "seconds": 2.0, "prompt_tokens": 5, "cached_tokens": 0}
    spent |= {"verifier_tokens": 9, "verifier_cached_tokens": 0, "generations": generations}
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


def whole(board: Board, card: Card) -> dict[str, Any]:
    (told,) = (r for r in Reader(board, [card.number]).news()["requests"] if "whole" in r)
    return dict(told)


def test_a_day_s_totals_end_at_midnight() -> None:
    now = datetime(2026, 3, 1, 23, 50).timestamp()
    board = Board(show_prompts=False, clock=lambda: now)
    for generations in (6, 16):
        begun(board).finished(result(generations))
    begun(board).failed("engine: it is dead")
    late = begun(board)
    today = board.totals()["today"]
    assert (today["requests"], today["failures"], today["mean_seconds"]) == (3, 1, 2.0)
    assert (today["generations"], today["budgeted"], today["saved"]) == (22, 32, 10)
    assert today["sampled_tokens"] == 180

    now += 660
    assert board.totals()["today"]["requests"] == 0
    late.finished(result(1))
    begun(board).cancelled()
    told = board.totals()
    assert (told["today"]["requests"], told["today"]["saved"], told["today"]["cancelled"]) == (
        2,
        15,
        1,
    )
    assert (told["since_start"]["requests"], told["since_start"]["saved"]) == (5, 25)
    assert told["minutes"][-12:] == [[22, 32], *[[0, 0]] * 10, [1, 16]]


def test_nothing_grows_without_bounds() -> None:
    board = Board(show_prompts=True, keep=3)
    card = board.begin("i" * 10**6, "m" * 10**6, 16, "p" * 10**6)
    for place in range(3 * MOST_STEPS):
        card.watch(Event(kind="step", path=("beam_search", 8, 2, 0, 1, place), score=0.5))
        card.watch(Event(kind="solution", path=("sample", place), answer=f"{place} " * 99, score=1))
    told = whole(board, card)["whole"]
    assert len(told["search"]["steps"]) == MOST_STEPS
    assert told["search"]["steps_left_out"] == 2 * MOST_STEPS
    answers = len(told["search"]["answers"]) + told["search"]["answers_left_out"]
    assert answers == MOST_SOLUTIONS
    assert len(json.dumps(told)) < 100_000

    ended = [begun(board) for _ in range(5)]
    for other in ended:
        other.cancelled()
    # The one that runs stays, and the last that ended.
    assert [c.number for c in board.cards()] == [card.number, *(c.number for c in ended[-3:])]


def test_hidden_prompts_and_answers_are_not_kept() -> None:
    board = Board(show_prompts=False)
    card, failing = begun(board), begun(board)
    for answer in (SECRET, "7", SECRET, None):
        card.watch(Event(kind="solution", path=("sample", 0), answer=answer, score=0.5))
    running = whole(board, card)["whole"]["search"]["answers"]
    assert [(a["answer"], len(a["scores"])) for a in running] == [
        ("answer 1", 2),
        ("answer 2", 1),
        (None, 1),
    ]
    card.finished(result())
    failing.failed(f"prompt: {SECRET!r}: 99 tokens leave no room; shorten it")
    for kept in (card, failing, card.search):
        assert SECRET not in repr(vars(kept))
    told = whole(board, failing)["whole"]["error"]
    assert told == "prompt: ...: 99 tokens leave no room; shorten it"

    shown = Board(show_prompts=True)
    card = begun(shown)
    card.finished(result())
    told = whole(shown, card)
    assert told["prompt"] == told["answer"] == told["whole"]["search"]["answers"][0]["answer"]
    assert told["whole"]["search"]["answers"][0]["weight"] == pytest.approx(1.1)


def test_the_first_end_holds() -> None:
    board = Board(show_prompts=True)
    card = begun(board)
    card.cancelled()
    card.finished(result())
    card.failed("too late")
    card.watch(Event(kind="solution", path=("sample", 0)))
    assert (whole(board, card)["status"], whole(board, card)["spent"]) == ("cancelled", 0)
    assert board.totals()["today"]["requests"] == 1


@pytest.mark.parametrize(
    "plan",
    [
        Plan(strategy="beam_search", n=12, beam_width=4, lookahead=1),
        Plan(strategy="dvts", n=12, beam_width=4),
    ],
)
def test_a_search_can_be_followed_from_every_end(tokenizer: Any, plan: Plan) -> None:
    board = Board(show_prompts=True)
    card = begun(board)
    run = coin_run(tokenizer)
    run.watch = card.watch
    samples = asyncio.run(STRATEGIES[plan.strategy](run, plan, ()))
    told = whole(board, card)
    assert told["spent"] == run.cost.generations == plan.cost(0)

    search = told["whole"]["search"]
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
    card.finished(answered)
    search = whole(board, card)["whole"]["search"]
    ends = list(zip(map(tuple, search["ends"]), samples, strict=True))
    chosen = next(sample for end, sample in ends if end == tuple(search["chosen"]))
    assert (chosen.score, chosen.tokens) == (samples[5].score, samples[5].tokens)


def test_a_lone_solution_is_told_without_a_score() -> None:
    board = Board(show_prompts=True)
    card = begun(board)
    card.watch(Event(kind="solution", path=("sample", 0), answer="7", score=float("nan")))
    card.finished(result().model_copy(update={"ranked": (make_sample("7", float("nan")),)}))
    search = whole(board, card)["whole"]["search"]
    assert search["answers"] == [{"answer": "7", "scores": [None], "weight": None}]


def test_a_reader_is_told_what_is_new_alone() -> None:
    board = Board(show_prompts=True, keep=1, clock=lambda: 0.0)
    first, second = begun(board), begun(board)
    reader = Reader(board, [second.number])
    assert [r["number"] for r in reader.news()["requests"]] == [first.number, second.number]
    assert reader.news() == {}

    for place in range(3):
        path = ("beam_search", 8, 2, 0, 0, place)
        second.watch(Event(kind="step", path=path, score=0.25))
        if place == 1:
            assert len(reader.news()["requests"][0]["whole"]["search"]["steps"]) == 2
    (told,) = reader.news()["requests"]
    assert told["whole"]["search"]["steps"] == [(0, 2, None, 0.25)]
    assert told["spent"] == 8

    second.cancelled()
    first.cancelled()
    news = reader.news()
    assert news["gone"] == [second.number]
    assert [r["number"] for r in news["requests"]] == [first.number]
    assert news["totals"]["today"]["cancelled"] == 2


def test_watching_takes_microseconds() -> None:
    card = begun(Board(show_prompts=True))
    parent = ("beam_search", 16, 4, 0, 1, 3)
    step = Event(kind="step", path=("beam_search", 16, 4, 0, 2, 3), parent=parent, score=0.5)
    solution = Event(kind="solution", path=("sample", 3), answer="7", score=0.5)
    started = time.perf_counter()
    for _ in range(1000):
        card.watch(step)
        card.watch(solution)
    assert (time.perf_counter() - started) / 2000 < 100e-6
