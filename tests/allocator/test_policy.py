"""The one lookup that solver, replay and benchmarks call."""

from itertools import product

import numpy as np
import pytest

from allocator.curves import AccuracyCurves, BinCurves
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.policy import Deadline, Policy, settled
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable
from tests.support.estimates import estimates
from tests.support.plans import best_of

FINGERPRINT = Fingerprint(model="m", verifier="v", answers="math", sampling={"temperature": 1.0})


def cell(n: int) -> Cell:
    return Cell(
        plan=best_of(n), accuracy=0.5, low=0.4, high=0.6, generations=n, tokens=10, prompts=30
    )


def row_of(*plans: int, edges: tuple[float, ...], pilots: int = 4) -> BudgetRow:
    cells = tuple(cell(n) for n in plans)
    return BudgetRow(budget=8, pilots=pilots, edges=edges, cells=cells)


def table() -> LookupTable:
    first = BudgetRow(budget=1, pilots=0, edges=(), cells=(cell(1),))
    rows = (first, row_of(4, 8, 8, edges=(0.6, 0.2)))
    return LookupTable(fingerprint=FINGERPRINT, difficulty="predicted", rows=rows)


def deadline(seconds: float) -> Deadline:
    """Best-of-n takes n seconds; with 4 pilots, prompts of pass@1 below 0.5 gain from samples."""
    counts = 1, 4, 8
    none = BinCurves(pilots=0, edges=(), bins=(estimates(counts, 0.5, 0.6, 0.7),))
    easy, hard = estimates(counts, 1.0, 1.0, 1.0), estimates(counts, 0.0, 0.5, 0.9)
    four = BinCurves(pilots=4, edges=(0.5,), bins=(easy, hard))
    latency = Latency.of({best_of(n): float(n) for n in counts})
    return Deadline(seconds, latency, AccuracyCurves(curves=(none, four)))


def test_policy_takes_the_largest_row_within_budget() -> None:
    policy = Policy(table())
    assert policy.row(7).budget == 1
    assert policy.row(100).budget == 8
    with pytest.raises(InputError, match="budget: 0"):
        policy.row(0)
    with pytest.raises(InputError, match="budget: '8'"):
        policy.row("8")


def test_policy_plans_many_prompts_at_once() -> None:
    chosen = Policy(table()).plans(8, [0.9, 0.4, 0.0])
    assert chosen.bins.tolist() == [0, 1, 2]
    assert [plan.n for plan in chosen.plans] == [4, 8, 8]
    assert [cell.plan for cell in chosen.cells] == list(chosen.plans)
    with pytest.raises(InputError, match="pass_at_1"):
        Policy(table()).plans(8, [float("nan")])


def test_a_deadline_has_the_most_accurate_plan_that_fits_it() -> None:
    policy = Policy(table())

    def chosen(seconds: float, values: list[float] | None, pilots: int) -> list[int]:
        found = policy.plans(8, values, pilots=pilots, deadline=deadline(seconds))
        return [plan.n for plan in found.plans]

    # 4 pilots take 4 seconds: within 8 seconds they are taken.
    assert chosen(8.0, [0.9, 0.5, 0.1], 4) == [1, 1, 8]
    assert chosen(7.0, None, 0) == [4]
    assert chosen(0.5, None, 0) == [1]
    row = policy.row(8)
    late = policy.plans(8, [0.1], row, pilots=4, deadline=deadline(0.5))
    assert late.plans == (best_of(4),), "the pilots alone"
    assert late.fit == (False,)
    assert policy.plans(8, [0.1], row, pilots=4, deadline=deadline(8.0)).fit == (True,)
    assert policy.plans(8, [0.1, 0.9]).fit == (True, True)


def test_pilots_that_take_more_than_half_of_the_time_are_left_out() -> None:
    known = table()
    shares = {row.budget: (1 / len(row.cells),) * len(row.cells) for row in known.rows}
    rows = [row.model_copy(update={"shares": shares[row.budget]}) for row in known.rows]
    policy = Policy(known.model_copy(update={"rows": tuple(rows)}))
    assert policy.row(8, deadline(8.0)) == policy.row(8)
    without = policy.row(8, deadline(7.9))
    assert (without.pilots, without.edges, without.budget) == (0, (), 8)
    assert without.accuracy == without.cells[0].accuracy


def test_bounds_are_settled_where_all_bins_between_them_have_one_plan() -> None:
    grid = np.linspace(0, 1, 21)
    for plans in product((4, 8), repeat=3):
        row = row_of(*plans, edges=(0.6, 0.2))
        for low, high in product(grid, grid):
            if low > high:
                continue
            between = {
                plan.n
                for plan in Policy(table())
                .plans(8, grid[(grid >= low) & (grid <= high)], row)
                .plans
            }
            assert settled(row, low, high) == (len(between) == 1)
