"""Which candidate becomes a table's row, and which rows are worth their average cost."""

import numpy as np
import pytest

from allocator.bins import bin_of
from allocator.curves import NEGLIGIBLE
from allocator.plan import Plan
from calibration.fitting.binned import gather
from calibration.fitting.plan_selection import by_bin
from calibration.fitting.rows import Candidate, best, by_best_rule
from calibration.replay.curve_summary import CurvePoint, CurveSummary
from calibration.replay.curves import Curve
from calibration.replay.intervals import mean_interval
from calibration.replay.replay import Replay
from tests.support.binned import binned_outcomes
from tests.support.samples import graded_record


def candidate(accuracy: float, generations: int) -> Candidate:
    """A candidate of one plan, with these averages over 1,000 prompts."""
    correct = (np.arange(1000) < round(accuracy * 1000)).astype(float)
    plans = [Plan(strategy="best_of_n", n=generations)]
    binned = binned_outcomes(plans, correct[None], np.zeros(1000, dtype=np.int64), 1)
    return Candidate(binned, (), by_bin)


def test_more_pilots_must_bring_more_than_a_negligible_gain() -> None:
    dear, cheap = candidate(0.9, 32), candidate(0.9 - NEGLIGIBLE + 0.001, 16)
    assert best([dear, cheap]) is cheap
    assert best([dear, candidate(0.9 - NEGLIGIBLE - 0.002, 16)]) is dear


def test_of_equally_cheap_rows_the_most_accurate() -> None:
    worse, better = candidate(0.899, 16), candidate(0.9, 16)
    assert best([worse, better]) is better


def test_a_row_of_unequal_bins_has_the_accuracy_of_its_entries() -> None:
    right = [[True] * 4] * 3 + [[True, False] * 2] * 5 + [[False] * 4] * 22
    replay = Replay([graded_record(i, each, {}) for i, each in enumerate(right)], 2)
    plans = [Plan(strategy="best_of_n", n=n) for n in (1, 2)]
    edges = (0.9, 0.3)
    bins = bin_of(edges, replay.pass_at_1(0).ravel())
    found = by_best_rule(gather(replay, plans, 0, bins, 3), edges)
    made = found.fitted(2)
    assert made.row.shares == pytest.approx((0.1, 5 / 30, 22 / 30))
    assert made.row.accuracy == pytest.approx(made.correct.mean())
    assert made.row.generations == pytest.approx(made.costs.mean())
    assert 0.1 < made.row.accuracy < 0.3
    prompts = np.repeat(np.arange(30), replay.replicates)
    assert made.row.interval == pytest.approx(mean_interval(made.correct, prompts)[1:])
    # On half of the prompts a cheaper plan is chosen now and then: that is not what cells cost.
    assert found.held_out.generations.mean() < made.costs.mean()
    for number, cell in enumerate(made.row.cells):
        inside = bins == number
        assert cell.generations == cell.plan.cost(0)
        tokens = replay.outcome(cell.plan, 0).tokens.ravel()
        assert cell.tokens == pytest.approx(tokens[inside].mean())


def summary(*points: tuple[int, float, float]) -> CurveSummary:
    return CurveSummary(
        name="x",
        points=tuple(
            CurvePoint(budget=budget, generations=spent, accuracy=reached, low=0, high=1)
            for budget, spent, reached in points
        ),
    )


def test_a_budget_is_efficient_unless_another_is_cheaper_on_average_and_as_accurate() -> None:
    # A budget of 18 has pilots, which end most prompts early: on average it is cheaper than 16.
    found = summary((8, 8, 0.80), (16, 16, 0.86), (18, 9, 0.86), (32, 28, 0.90), (64, 64, 0.89))
    assert found.efficient() == {8, 18, 32}


def test_of_budgets_alike_in_cost_the_most_accurate_is_efficient() -> None:
    assert summary((1, 4, 0.5), (2, 4, 0.6)).efficient() == {2}


def test_a_curve_with_some_of_its_budgets() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    curve = Curve("x", (1, 2, 4), rows, rows + 1, rows + 2, rows + 3).restricted_to({4, 1})
    assert curve.budgets == (1, 4)
    assert curve.correct.tolist() == [[0, 1], [4, 5]]
    assert curve.flops.tolist() == [[3, 4], [7, 8]]
