"""One row of a table: the plan of each bin at a budget, with its held-out figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.plan import Plan
from allocator.table import BudgetRow, Cell
from calibration.fitting.crossval import most_accurate
from calibration.fitting.plan_selection import Rule, by_bin, greatest, held_out_figures, smoothed
from calibration.replay.intervals import mean_interval
from calibration.replay.replay import Outcomes


@dataclass(frozen=True)
class FittedRow:
    """A row, and the held-out figures of each entry, arrays of shape (entries,).

    An entry's plan is chosen on other prompts.
    """

    row: BudgetRow
    correct: NDArray[np.float64]
    costs: NDArray[np.float64]
    tokens: NDArray[np.float64]


def best(rows: Sequence[FittedRow]) -> FittedRow:
    """The row of the greatest held-out accuracy, of equals the cheapest, then the first.

    The row's reported figures are the ones that it is chosen by.
    """
    return rows[most_accurate(np.array([r.correct for r in rows]), [r.costs.mean() for r in rows])]


def row_by_best_rule(
    outcomes: Outcomes,
    plans: Sequence[Plan],
    budget: int,
    pilots: int,
    edges: tuple[float, ...],
    pass_at_1: NDArray[np.float64],
) -> FittedRow:
    """The row whose rule has the greatest held-out accuracy; see `best`.

    Args:
        outcomes: outcomes of plans on the calibration prompts.
        plans: the plans to choose among.
        budget: the row's budget, in generations per prompt.
        pilots: number of pilots that come out of it.
        edges: inner edges of the bins.
        pass_at_1: by which entries are binned, shape (entries,).
    """
    rules = (by_bin, smoothed, greatest) if edges else (by_bin, greatest)
    found = [outcomes.outcome(plan, pilots) for plan in plans]
    replayed = _Replayed(
        correct=np.array([outcome.correct.ravel() for outcome in found]),
        tokens=np.array([outcome.tokens.ravel() for outcome in found]),
        costs=np.array([float(plan.cost(pilots)) for plan in plans]),
        prompts=np.repeat(np.arange(outcomes.prompts), outcomes.replicates),
        bins=bin_of(edges, pass_at_1),
        count=len(edges) + 1,
    )
    held_out = [replayed.held_out(rule) for rule in rules]
    best = most_accurate(np.array([h[0] for h in held_out]), [h[1].mean() for h in held_out])
    # Intervals take the most time: only the chosen rule's are computed.
    cells = replayed.cells(plans, rules[best], held_out[best])
    row = BudgetRow(budget=budget, pilots=pilots, edges=edges, cells=cells)
    return FittedRow(row, *held_out[best])


@dataclass(frozen=True)
class _Replayed:
    """Outcomes of the plans of one row, by entry; see `held_out_figures`."""

    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]
    costs: NDArray[np.float64]
    prompts: NDArray[np.int64]
    bins: NDArray[np.int64]
    count: int

    def held_out(self, rule: Rule) -> NDArray[np.float64]:
        return held_out_figures(
            self.correct, self.costs, self.tokens, self.prompts, self.bins, self.count, rule
        )

    def cells(
        self, plans: Sequence[Plan], rule: Rule, held_out: NDArray[np.float64]
    ) -> tuple[Cell, ...]:
        """The plan that the rule chooses in each bin, with its held-out figures."""
        chosen = rule(self.correct, self.costs, self.prompts, self.bins, self.count)
        cells = []
        for b, choice in enumerate(chosen):
            inside = self.bins == b
            # Rounding may move sums of shares out of [0, 1] in the last bit.
            figures = mean_interval(held_out[0, inside], self.prompts[inside])
            accuracy, low, high = (min(max(figure, 0.0), 1.0) for figure in figures)
            cells.append(
                Cell(
                    plan=plans[choice],
                    accuracy=accuracy,
                    low=low,
                    high=high,
                    generations=float(held_out[1, inside].mean()),
                    tokens=float(held_out[2, inside].mean()),
                    prompts=len(np.unique(self.prompts[inside])),
                )
            )
        return tuple(cells)
