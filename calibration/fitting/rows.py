"""One row of a table: the plan of each bin at a budget, with its held-out accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of, shares_of
from allocator.curves import NEGLIGIBLE
from allocator.plan import Plan
from allocator.table import BudgetRow, Cell
from calibration.fitting.advantage import by_advantage
from calibration.fitting.plan_selection import (
    Rule,
    by_bin,
    cheapest_within,
    held_out_figures,
    smoothed,
)
from calibration.replay.intervals import accuracy_interval
from calibration.replay.outcomes import Outcome, Outcomes


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
class _Replayed:
    """The plans of one row, and their outcomes by entry; see `held_out_figures`."""

    budget: int
    pilots: int
    edges: tuple[float, ...]
    plans: Sequence[Plan]
    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]
    costs: NDArray[np.float64]
    prompts: NDArray[np.int64]
    bins: NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """A row that may become the table's: one rule's choice of plans.

    Attributes:
        replayed: the plans that the rule chooses among.
        rule: the rule.
        held_out: accuracy, generations, tokens and FLOPs of each entry, whose plan is chosen on
            other prompts, shape (4, entries).
    """

    replayed: _Replayed
    rule: Rule
    held_out: NDArray[np.float64]

    def fitted(self) -> FittedRow:
        """The row, with the intervals of its cells. They take time: only the best has them."""
        replayed, count = self.replayed, len(self.replayed.edges) + 1
        choices = np.array(
            self.rule(replayed.correct, replayed.costs, replayed.prompts, replayed.bins, count)
        )
        # The accuracy is held out: that of the plans chosen is too high by the choice. The cost is
        # theirs: on half of the prompts other, often cheaper plans are chosen.
        chosen, entries = choices[replayed.bins], np.arange(len(replayed.bins))
        figures = np.array(
            [
                self.held_out[0],
                replayed.costs[chosen],
                replayed.tokens[chosen, entries],
                replayed.flops[chosen, entries],
            ]
        )
        cells = []
        for b, choice in enumerate(choices):
            inside = replayed.bins == b
            cells.append(
                cell_of(replayed.plans[choice], replayed.prompts[inside], *figures[:, inside])
            )
        row = BudgetRow(
            budget=replayed.budget,
            pilots=replayed.pilots,
            edges=replayed.edges,
            cells=tuple(cells),
            shares=shares_of(replayed.bins, count),
            interval=accuracy_interval(figures[0], replayed.prompts)[1:],
        )
        return FittedRow(row, *figures)


def cell_of(
    plan: Plan,
    prompts: NDArray[np.int64],
    correct: NDArray[np.float64],
    generations: NDArray[np.float64],
    tokens: NDArray[np.float64],
    flops: NDArray[np.float64],
) -> Cell:
    """A bin's plan with its figures.

    Args:
        plan: the plan.
        prompts: which prompt each entry of the bin belongs to, shape (entries,).
        correct: of each entry, likewise.
        generations: likewise.
        tokens: likewise.
        flops: likewise; all 0 where they were not counted.
    """
    accuracy, low, high = accuracy_interval(correct, prompts)
    return Cell(
        plan=plan,
        accuracy=accuracy,
        low=low,
        high=high,
        generations=float(generations.mean()),
        tokens=float(tokens.mean()),
        flops=float(flops.mean()) if flops.any() else None,
        prompts=len(np.unique(prompts)),
    )


class HeldOut(Protocol):
    """What has held-out figures of each entry, of shape (figures, entries): accuracy, cost, ..."""

    @property
    def held_out(self) -> NDArray[np.float64]: ...


Figured = TypeVar("Figured", bound=HeldOut)


def best(candidates: Sequence[Figured]) -> Figured:
    """The cheapest on average with a held-out accuracy within `NEGLIGIBLE` of the greatest.

    More pilots, which every prompt pays, must bring a gain. Costs are held out, too: each is that
    of the plans whose accuracy stands beside it.
    """
    accuracy, costs = np.stack([c.held_out[:2] for c in candidates], axis=1).mean(axis=2)
    (place,) = cheapest_within(accuracy[:, None], costs, NEGLIGIBLE)
    return candidates[place]


def by_best_rule(
    outcomes: Outcomes,
    plans: Sequence[Plan],
    budget: int,
    pilots: int,
    edges: tuple[float, ...],
    pass_at_1: NDArray[np.float64],
) -> Candidate:
    """The candidate by the rule that does best.

    Args:
        outcomes: outcomes of plans on the calibration prompts.
        plans: the plans to choose among.
        budget: the row's budget, in generations per prompt.
        pilots: number of pilots that come out of it.
        edges: inner edges of the bins.
        pass_at_1: by which entries are binned, shape (entries,).
    """
    found = [outcomes.outcome(plan, pilots) for plan in plans]
    of = _Replayed(
        budget=budget,
        pilots=pilots,
        edges=edges,
        plans=plans,
        correct=np.array([outcome.correct.ravel() for outcome in found]),
        tokens=np.array([outcome.tokens.ravel() for outcome in found]),
        flops=np.array([outcome.flops.ravel() for outcome in found]),
        costs=np.array([float(plan.cost(pilots)) for plan in plans]),
        prompts=np.repeat(np.arange(outcomes.prompts), outcomes.replicates),
        bins=bin_of(edges, pass_at_1),
    )

    def candidate(rule: Rule) -> Candidate:
        figures = held_out_figures(
            of.correct, of.costs, of.tokens, of.flops, of.prompts, of.bins, len(edges) + 1, rule
        )
        return Candidate(of, rule, figures)

    modelled = partial(by_advantage, plans)
    rules = (by_bin, smoothed, modelled) if edges else (by_bin, modelled)
    return best([candidate(rule) for rule in rules])
