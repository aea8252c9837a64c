"""One prompt at a time: pilots that end early, prices, deadlines, and what cannot be asked for."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from allocator.curves import AccuracyCurves, BinCurves
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.plan import Plan
from runtime.answers import PatternAnswers
from runtime.artifact import Artifact
from runtime.request import Request
from runtime.result import Result, Spend
from runtime.solving.decide import PilotResult, decide
from runtime.solving.solve import Solver
from tests.support.artifacts import SECONDS_EACH, bent_models, bent_prompts, with_row
from tests.support.estimates import estimates
from tests.support.plans import best_of
from tests.support.samples import make_sample

PROMPTS = bent_prompts(12, seed=7)


def solver(artifact: Artifact, tokenizer: Any, **options: Any) -> Solver:
    return Solver(bent_models(tokenizer), artifact, **options)


def solved(
    solving: Solver, prompts: Sequence[str | Request], budget: int, **limits: Any
) -> list[Result]:
    async def all_of_them() -> list[Result]:
        return [await solving.solve(prompt, budget, **limits) for prompt in prompts]

    return asyncio.run(all_of_them())


@pytest.mark.slow
def test_pilots_end_as_soon_as_more_would_not_change_the_plan(
    bent: Artifact, tokenizer: Any
) -> None:
    alike = with_row(bent, 2, (0.5, 0.2), [best_of(4)] * 3)
    for result in solved(solver(alike, tokenizer), PROMPTS, 8):
        assert result.receipt.pilots == 1
        assert result.receipt.generations == 4
    apart = with_row(bent, 2, (0.5, 0.2), [best_of(2), best_of(4), best_of(8)])
    taken = [r.receipt.pilots for r in solved(solver(apart, tokenizer), PROMPTS, 8)]
    assert set(taken) == {2}, "one pilot's interval is never within one of these bins"


def test_pilots_end_where_the_interval_lies_within_bins_of_one_plan(
    bent: Artifact, tokenizer: Any
) -> None:
    # The hardest prompts have the same plan on both sides of 0.5, but not above 0.9.
    row = with_row(bent, 2, (0.9, 0.5), [best_of(2), best_of(8), best_of(8)])
    results = solved(solver(row, tokenizer), bent_prompts(60, seed=8), 8)
    early = [r.receipt for r in results if r.receipt.pilots == 1]
    assert 0 < len(early) < len(results)
    assert all(receipt.high is not None and receipt.high < 0.9 for receipt in early)
    assert {receipt.plan for receipt in early} == {best_of(8)}


def test_fewer_pilots_answer_the_same(bent: Artifact, tokenizer: Any) -> None:
    plans = [best_of(8), best_of(8)]
    early = solved(solver(with_row(bent, 2, (0.5,), plans), tokenizer), PROMPTS, 8)
    never = solved(solver(with_row(bent, 0, (), plans[:1]), tokenizer), PROMPTS, 8)
    assert [r.solution for r in early] == [r.solution for r in never]


def test_the_receipt_is_what_was_sampled(bent: Artifact, tokenizer: Any) -> None:
    solving = solver(bent, tokenizer)
    results = solved(solving, PROMPTS, 8)
    assert solving.models.engine.generations == sum(r.receipt.generations for r in results)  # type: ignore[attr-defined]
    row = bent.policy.row(8)
    for result in results:
        receipt = result.receipt
        assert receipt.generations == receipt.plan.cost(receipt.pilots) <= 8
        assert receipt.plan == row.cells[receipt.bin - 1].plan
        assert receipt.bins == len(row.cells) == 3
        assert receipt.low <= receipt.predicted_pass_at_1 <= receipt.high
        assert f"bin {receipt.bin} of 3" in receipt.why


def test_a_tiny_price_continues_to_the_last_stage_and_a_huge_one_stops_at_once(
    bent: Artifact, tokenizer: Any
) -> None:
    solving, costs = solver(bent, tokenizer), bent.prices.schedule.costs
    cheap, dear = (
        [asyncio.run(solving.solve_at_price(prompt, price)) for prompt in PROMPTS]
        for price in (1e-15, 10.0)
    )
    assert {r.receipt.generations for r in cheap} == {costs[-1]}
    assert {r.receipt.generations for r in dear} == {costs[0]}
    assert all("the last stage of the schedule" in r.receipt.why for r in cheap)
    assert all("would have gained" in r.receipt.why for r in dear)
    assert {r.receipt.price for r in dear} == {10.0}


def test_at_one_price_unsettled_prompts_continue_longer_than_settled_ones(
    bent: Artifact, tokenizer: Any
) -> None:
    solving = solver(bent, tokenizer)

    def spent(least: int, most: int) -> float:
        prompts = bent_prompts(40, 3, least, most)
        found = [asyncio.run(solving.solve_at_price(prompt, 0.03)) for prompt in prompts]
        return sum(result.receipt.generations for result in found) / len(found)

    assert spent(97, 99) < 2 < spent(55, 75)


@pytest.mark.parametrize("price", [0.0, -1.0, nan, "1"])
def test_a_price_that_is_none(bent: Artifact, tokenizer: Any, price: Any) -> None:
    with pytest.raises(InputError, match="must be positive"):
        asyncio.run(solver(bent, tokenizer).solve_at_price(PROMPTS[0], price))


@pytest.mark.parametrize(("deadline", "most"), [(1.5, 1), (2.5, 2), (4.5, 4), (1000.0, 4)])
def test_the_plan_fits_the_deadline_and_the_budget(
    bent: Artifact, tokenizer: Any, deadline: float, most: int
) -> None:
    spent = []
    for result in solved(solver(bent, tokenizer), PROMPTS, 8, deadline=deadline):
        receipt = result.receipt
        seconds = bent.latency.seconds(receipt.plan)
        assert seconds is not None
        assert seconds <= deadline
        assert receipt.deadline == deadline
        assert receipt.generations <= 8
        assert "s left" in receipt.why
        spent.append(receipt.generations)
    # It is made use of; eight solutions are no more accurate than four here.
    assert max(spent) == most


def test_pilots_that_would_take_half_of_the_time_are_left_out(
    bent: Artifact, tokenizer: Any
) -> None:
    def pilots(deadline: float) -> set[int]:
        results = solved(solver(bent, tokenizer), PROMPTS, 8, deadline=deadline)
        return {result.receipt.pilots for result in results}

    assert pilots(2 * 2 * SECONDS_EACH - 0.1) == {0}
    assert pilots(2 * 2 * SECONDS_EACH + 0.1) <= {1, 2}


def test_a_tiny_deadline_is_answered_by_one_solution(bent: Artifact, tokenizer: Any) -> None:
    (result,) = solved(solver(bent, tokenizer), PROMPTS[:1], 8, deadline=1e-6)
    assert result.receipt.plan == best_of(1)
    assert result.receipt.generations == 1
    assert result.receipt.why == "With 0.00 s left no plan fits: one solution is sampled"


def test_under_a_deadline_nothing_is_sampled_beyond_the_plan(
    bent: Artifact, tokenizer: Any
) -> None:
    asked = Request(PROMPTS[0], solutions=6)
    (result,) = solved(solver(bent, tokenizer), [asked], 8, deadline=1e-6)
    assert len(result.ranked) == result.receipt.generations == 1
    (result,) = solved(solver(bent, tokenizer), [asked], 8)
    assert len(result.ranked) >= 6


def test_time_that_pilots_have_used_up_is_no_negative_time(bent: Artifact) -> None:
    row = with_row(bent, 1, (0.5,), [best_of(8), best_of(8)]).policy.row(8)
    piloted = PilotResult([make_sample("1", 0.5)], 0.9, 0.8, 1.0)
    decision = decide(bent, row, piloted, 8, -0.004)
    assert decision.plan == best_of(1)
    assert decision.why.endswith(
        "bin 1 of 2. With 0.00 s left no plan fits: nothing more is sampled"
    )


def test_without_pilots_a_deadline_looks_at_all_bins(bent: Artifact) -> None:
    # Easy prompts need one solution, hard ones eight; the prompt may be either.
    easy, hard = estimates((1, 8), 1.0, 1.0), estimates((1, 8), 0.0, 0.9)
    curves = BinCurves(pilots=0, edges=(0.5,), bins=(easy, hard))
    assert [option.accuracy for option in curves.overall] == pytest.approx([0.5, 0.95])
    artifact = replace(bent, curves=AccuracyCurves(curves=(curves,)))
    row = with_row(artifact, 0, (), [best_of(8)]).policy.row(8)
    assert decide(artifact, row, PilotResult([]), 8, 100.0).plan == best_of(8)
    assert decide(artifact, row, PilotResult([], 0.9, 0.8, 1.0), 8, 100.0).plan == best_of(1)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "give one of"),
        ({"budget": 4, "total_budget": 8}, "give one of"),
        ({"average_budget": 2.0, "total_budget": 8}, "give one of"),
        ({"budget": 4, "average_budget": 2.0, "total_budget": 8}, "give one of"),
        ({"average_budget": 2.0, "deadline": 1.0}, "deadline: 1.0: it goes with a budget"),
        ({"total_budget": 8, "deadline": 1.0}, "deadline: 1.0: it goes with a budget"),
        ({"total_budget": "8"}, "total_budget: '8': must be a number"),
        ({"budget": 4, "total_budget": 0}, r"\{'budget': 4, 'total_budget': 0\}: give one of"),
    ],
)
def test_spend_is_one_of_three(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Spend(**limits)


def test_what_cannot_be_kept_is_named(bent: Artifact, tokenizer: Any) -> None:
    free, fixed = solver(bent, tokenizer), solver(bent, tokenizer, fixed=best_of(4))
    untimed = solver(replace(bent, latency=Latency(timed=())), tokenizer)
    revising = solver(bent, tokenizer, fixed=Plan(strategy="revisions", n=4, length=2))
    fixed.check_spend(Spend(4))
    refused: list[tuple[Solver, Any, Any, str]] = [
        (free, 0, None, "must be 1 or more"),
        (free, -3, None, "must be 1 or more"),
        (free, 8, 0.0, "must be a positive number"),
        (free, 8, -inf, "must be a positive number"),
        (free, 8, "1", "deadline: '1': must be a positive number"),
        (fixed, 3, None, "costs 4; allow that"),
        (fixed, 8, 1.0, "do not fix one as well"),
        (revising, 8, None, "plan: 'revisions 2 x 2': it revises with a reviser"),
        (untimed, 8, 1.0, "plans were not timed; calibrate again"),
    ]
    for solving, budget, deadline, message in refused:
        with pytest.raises(InputError, match=message):
            solved(solving, PROMPTS[:1], budget, deadline=deadline)
        assert solving.models.engine.generations == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("early_stop", [0.5, 1.5, nan, "1"])
def test_an_early_stop_is_a_probability(bent: Artifact, tokenizer: Any, early_stop: Any) -> None:
    with pytest.raises(InputError, match=r"early_stop: .*: a probability above 0\.5"):
        solver(bent, tokenizer, early_stop=early_stop)


def test_solutions_beyond_those_of_a_majority_vote_too(bent: Artifact, tokenizer: Any) -> None:
    plan = Plan(strategy="best_of_n", n=3, selection="majority")
    requests = [Request(prompt, solutions=6) for prompt in bent_prompts(40, seed=9)]
    ties = 0
    for result in solved(solver(bent, tokenizer, fixed=plan), requests, 6):
        assert len(result.ranked) == result.receipt.generations == 6
        votes = Counter(sample.answer for sample in result.ranked)
        assert votes[result.answer] == max(votes.values())
        tied = list(votes.values()).count(max(votes.values())) > 1
        assert not tied or result.score is not None, "the verifier decides"
        ties += tied
    assert 0 < ties < len(requests)


def test_a_fixed_plan_takes_no_pilots(bent: Artifact, tokenizer: Any) -> None:
    for result in solved(solver(bent, tokenizer, fixed=best_of(3)), PROMPTS, 8):
        assert result.receipt.plan == best_of(3)
        assert result.receipt.generations == 3
        assert result.receipt.pilots == 0


def test_the_receipt_names_answers_that_could_not_be_compared(
    bent: Artifact, tokenizer: Any
) -> None:
    class Undecided(PatternAnswers):
        """Says so of the answer 3, as of an expression that takes too long."""

        def undecided(self, found: Iterable[str | None]) -> list[str]:
            return [answer for answer in dict.fromkeys(found) if answer == "3"]

    models = bent_models(tokenizer, answers=Undecided(r"#(\d+)"))
    (easy, hard) = ("99*1", "1*2")
    results = solved(Solver(models, bent, fixed=best_of(4)), [easy, hard], 8)
    assert [result.receipt.undecided for result in results] == [("3",), ()]
    assert solved(solver(bent, tokenizer), [easy], 8)[0].receipt.undecided == ()
