"""Prompts under a constraint: whole solutions only, at the cost of the searches they replace."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.schedule import Schedule, Stage
from runtime.artifact import Artifact
from runtime.engines.base import Completion
from runtime.engines.constraint import Constraint
from runtime.frontend.answer_form import AnswerForm, CallFormat
from runtime.frontend.call_syntax import TextCalls
from runtime.request import Request, RequestSettings
from runtime.result import Result, Spend
from runtime.solving.solve import Solver
from tests.support.artifacts import BentCoins, bent_models, bent_prompts, with_row
from tests.support.fakes import COIN_SETTINGS
from tests.support.thinking import SETTINGS, ScriptedThinker, thinking_run

SEARCH = Plan(strategy="beam_search", n=4, beam_width=2)
PROMPTS = bent_prompts(6, seed=7)
HELD = AnswerForm(Constraint.of("response_format", {"regex": "#[0-9]"}))


class Constrained(BentCoins):
    """Notes the constraint of each request, and how much of a solution its prompt holds.

    Args:
        tokenizer: the testbed's.
        refused: a constraint that it refuses.
    """

    def __init__(self, tokenizer: Any, refused: Constraint | None = None) -> None:
        super().__init__(tokenizer)
        self.refused = refused
        self.requests: list[tuple[Constraint | None, str]] = []

    def check_constraint(self, constraint: Constraint) -> None:
        if constraint == self.refused:
            raise constraint.refused("no such grammar")

    async def complete(
        self, token_ids: Sequence[int], *, constraint: Constraint | None = None, **how: Any
    ) -> Completion:
        begun = self.tokenizer.decode(token_ids).split("<assistant>")[1]
        self.requests.append((constraint, begun))
        return await super().complete(token_ids, **how)


def solver(artifact: Artifact, tokenizer: Any, **options: Any) -> Solver:
    return Solver(bent_models(tokenizer, engine=Constrained(tokenizer)), artifact, **options)


def request(text: str, form: AnswerForm = HELD) -> Request:
    return Request(text, settings=RequestSettings(COIN_SETTINGS.sampling, form=form))


def solved(solving: Solver, form: AnswerForm, spend: Spend) -> list[Result]:
    asked = [request(prompt, form) for prompt in PROMPTS]
    return [r for r in asyncio.run(solving.solve_all(asked, spend)) if isinstance(r, Result)]


def test_best_of_n_replaces_a_search_at_its_cost(bent: Artifact, tokenizer: Any) -> None:
    solving = solver(with_row(bent, 2, (), [SEARCH]), tokenizer)
    for result in solved(solving, HELD, Spend(budget=8)):
        receipt = result.receipt
        assert receipt.plan == SEARCH.without_search(0) == Plan(strategy="best_of_n", n=4)
        assert receipt.generations == 4
        assert receipt.why.endswith(
            "A constraint holds for solutions that are sampled whole: "
            "best-of-4 replaces it at the same cost"
        )
    assert set(solving.models.engine.requests) == {(HELD.constraint, "")}  # type: ignore[attr-defined]


def test_pilots_count_among_the_solutions(bent: Artifact, tokenizer: Any) -> None:
    solving = solver(with_row(bent, 2, (0.5,), [SEARCH, Plan(strategy="dvts", n=6)]), tokenizer)
    for result in solved(solving, HELD, Spend(budget=8)):
        receipt = result.receipt
        assert receipt.plan.strategy == "best_of_n"
        assert receipt.plan.n in (SEARCH.n + receipt.pilots, 6 + receipt.pilots)
        assert receipt.generations == receipt.plan.n


def test_a_plan_without_a_search_stays(bent: Artifact, tokenizer: Any) -> None:
    plan = Plan(strategy="best_of_n", n=4, selection="majority")
    solving = solver(with_row(bent, 0, (), [plan]), tokenizer)
    (first, *_) = solved(solving, HELD, Spend(budget=8))
    assert first.receipt.plan == plan
    assert "sampled whole" not in first.receipt.why


def test_free_text_and_calls_that_are_found_in_it_are_searched(
    bent: Artifact, tokenizer: Any
) -> None:
    for form in (AnswerForm(), AnswerForm(calls=CallFormat(("add",), TextCalls()))):
        solving = solver(with_row(bent, 0, (), [SEARCH]), tokenizer)
        results = solved(solving, form, Spend(budget=8))
        assert {result.receipt.plan for result in results} == {SEARCH}
        constraints, begun = zip(*solving.models.engine.requests, strict=True)  # type: ignore[attr-defined]
        assert set(constraints) == {None}
        assert set(begun) != {""}


def test_a_shared_total_buys_samples_in_place_of_searches(bent: Artifact, tokenizer: Any) -> None:
    stages = (Stage(samples=1), Stage(samples=1, searches=(SEARCH,)))
    prices = bent.prices.model_copy(update={"schedule": Schedule(stages=stages)})
    solving = solver(replace(bent, prices=prices), tokenizer)
    results = solved(solving, HELD, Spend(total_budget=5 * len(PROMPTS)))
    assert {result.receipt.plan for result in results} == {Plan(strategy="best_of_n", n=5)}
    assert {result.receipt.generations for result in results} == {5}
    assert all("samples replace searches" in result.receipt.why for result in results)
    assert set(solving.models.engine.requests) == {(HELD.constraint, "")}  # type: ignore[attr-defined]


def test_other_forms_than_calibrations_are_no_drift(bent: Artifact, tokenizer: Any) -> None:
    observed = []
    for form in (AnswerForm(), HELD, AnswerForm(calls=CallFormat(("add",), TextCalls()))):
        solving = solver(bent, tokenizer)
        solved(solving, form, Spend(budget=8))
        observed.append(solving.monitor.report().prompts)
    assert observed == [len(PROMPTS), 0, 0]


def test_what_cannot_be_held_is_refused_before_any_work(bent: Artifact, tokenizer: Any) -> None:
    plain = Solver(bent_models(tokenizer), bent)
    with pytest.raises(InputError, match=r"response_format: .*BentCoins cannot hold"):
        plain.start(request("90*7"))
    fixed = solver(bent, tokenizer, fixed=SEARCH)
    with pytest.raises(InputError, match=r"plan: .*response_format holds for solutions"):
        fixed.start(request("90*7"))
    engine = Constrained(tokenizer, HELD.constraint)
    refusing = Solver(bent_models(tokenizer, engine=engine), bent)
    with pytest.raises(InputError, match=r"response_format: .*no such grammar"):
        refusing.start(request("90*7"))
    assert plain.start("90*7").models.answers is plain.models.answers


class ConstrainedThinker(ScriptedThinker):
    """Notes which of its requests are under a constraint."""

    def __init__(self, length: int, begins: bool = True) -> None:
        super().__init__(length, begins=begins)
        self.held: list[bool] = []

    async def complete(
        self, token_ids: Sequence[int], *, constraint: Constraint | None = None, **how: Any
    ) -> Completion:
        self.held.append(constraint is not None)
        return await super().complete(token_ids, **how)


@pytest.mark.parametrize(
    ("begins", "thinking", "before", "held"),
    [
        (True, None, ["<think>\n", f"<think>\n{'a' * 30}\n</think>"], [False, True]),
        (False, None, ["<think>\n", f"<think>\n{'a' * 30}\n</think>"], [False, True]),
        # What begins the answer at a cap, or after a thought that is skipped, would stand before
        # what the constraint allows.
        (True, 11, ["<think>\n", f"<think>\n{'a' * 10}\n</think>"], [False, True]),
        (True, 0, ["<think>\n\n</think>"], [True]),
    ],
)
def test_a_constraint_begins_after_the_thought(
    begins: bool, thinking: int | None, before: list[str], held: list[bool]
) -> None:
    engine = ConstrainedThinker(30, begins)
    run = thinking_run(engine, replace(SETTINGS, form=HELD), cutoff="\n</think>\n\n#")
    sample = asyncio.run(run.sample(0, thinking))
    assert engine.held == held
    assert [text for text, _ in engine.requests] == before
    assert sample.content is not None
