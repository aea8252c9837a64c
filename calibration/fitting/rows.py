"""One row of a table: the plan of each bin at a budget, with its held-out accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allocator.bins import shares_of
from allocator.curves import NEGLIGIBLE
from allocator.plan import Plan
from allocator.table import BudgetRow, Cell
from calibration.fitting.advantage import by_advantage
from calibration.fitting.binned import BinnedOutcomes, Figures
from calibration.fitting.plan_selection import (
    Rule,
    by_bin,
    cheapest_within,
    held_out_figures,
    smoothed,
)
from calibration.replay.intervals import accuracy_interval
from calibration.replay.outcomes import Outcome

Unit = Literal["generations", "tokens"]  # of a budget


@dataclass(frozen=True)
class FittedRow:
    """A row, and the figures of each entry, arrays of shape (entries,).

    Attributes:
        row: the row.
        correct: accuracy of a plan chosen on other prompts.
        costs: generations of the row's plan.
        tokens: likewise; all 0 where they were not counted.
        flops: likewise.
    """

    row: BudgetRow
    correct: NDArray[np.float64]
    costs: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]

    def outcome(self, shape: tuple[int, int]) -> Outcome:
        """Its figures by prompt and replicate, whose numbers are the shape."""
        return Outcome(
            *(values.reshape(shape) for values in (self.correct, self.tokens, self.flops))
        )


@dataclass(frozen=True)
class Candidate:
    """A row that may become the table's: one rule's choice of plans.

    Attributes:
        binned: the plans that the rule chooses among, and their outcomes.
        edges: inner edges of the bins.
        rule: the rule.
    """

    binned: BinnedOutcomes
    edges: tuple[float, ...]
    rule: Rule

    @cached_property
    def held_out(self) -> Figures:
        """Figures of the entries where each one's plan is chosen on other prompts."""
        return held_out_figures(self.binned, self.rule)

    @cached_property
    def choices(self) -> NDArray[np.int64]:
        """The index of each bin's plan, chosen on all entries, shape (bins,)."""
        return np.array(self.rule(self.binned))

    @property
    def figures(self) -> Figures:
        """Figures of the row's own plans; only the accuracy is held out.

        The accuracy of the plans chosen is too high by the choice. The cost is theirs: on half of
        the prompts other, often cheaper plans are chosen.
        """
        figures = self.binned.figures(self.choices[self.binned.bins])
        return figures._replace(correct=self.held_out.correct)

    def fitted(
        self, budget: int, unit: Unit = "generations", pilot_thinking: int | None = None
    ) -> FittedRow:
        """The row, with the intervals of its cells. They take time: only the best has them.

        Args:
            budget: the row's budget per prompt.
            unit: of the budget.
            pilot_thinking: tokens that a pilot may think, as `BudgetRow.pilot_thinking`.
        """
        binned, figures = self.binned, self.figures
        row = BudgetRow(
            budget=budget,
            unit=unit,
            pilots=binned.pilots,
            pilot_thinking=pilot_thinking if binned.pilots else None,
            edges=self.edges,
            cells=tuple(
                _cell(binned.plans[choice], binned.prompts, figures, binned.bins == b)
                for b, choice in enumerate(self.choices)
            ),
            shares=shares_of(binned.bins, binned.n_bins),
            interval=accuracy_interval(figures.correct, binned.prompts)[1:],
        )
        return FittedRow(row, *figures)


def _cell(
    plan: Plan, prompts: NDArray[np.int64], figures: Figures, inside: NDArray[np.bool_]
) -> Cell:
    """A bin's plan, and its figures over the entries inside the bin."""
    correct, generations, tokens, flops = (values[inside] for values in figures)
    accuracy, low, high = accuracy_interval(correct, prompts[inside])
    return Cell(
        plan=plan,
        accuracy=accuracy,
        low=low,
        high=high,
        generations=float(generations.mean()),
        tokens=float(tokens.mean()),
        flops=float(flops.mean()) if flops.any() else None,
        prompts=len(np.unique(prompts[inside])),
    )


def best(candidates: Sequence[Candidate], unit: Unit = "generations") -> Candidate:
    """The cheapest on average with a held-out accuracy within `NEGLIGIBLE` of the greatest.

    More pilots, which every prompt pays, must bring a gain. Costs, counted in the unit, are held
    out, too: each is that of the plans whose accuracy stands beside it.
    """
    accuracy = np.array([candidate.held_out.correct.mean() for candidate in candidates])
    costs = np.array([getattr(candidate.held_out, unit).mean() for candidate in candidates])
    (place,) = cheapest_within(accuracy[:, None], costs, NEGLIGIBLE)
    return candidates[place]


def by_best_rule(binned: BinnedOutcomes, edges: tuple[float, ...]) -> Candidate:
    """The candidate by the rule that does best, for a budget in generations.

    Args:
        binned: the plans to choose among, and their outcomes on the calibration prompts.
        edges: inner edges of the bins.
    """
    rules = (by_bin, smoothed, by_advantage) if edges else (by_bin, by_advantage)
    return best([Candidate(binned, edges, rule) for rule in rules])
