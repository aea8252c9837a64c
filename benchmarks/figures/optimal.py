"""Compute-optimal choice in the difficulty bins of the test prompts, held out (section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.plan import Plan
from benchmarks.figures.findings import Finding
from benchmarks.figures.pools import MAX_N
from calibration.fitting.binned import BinnedOutcomes, PlanOutcomes, gather
from calibration.fitting.crossval import most_accurate
from calibration.fitting.difficulty import edges_of
from calibration.fitting.plan_selection import held_out_figures
from calibration.replay.curves import Curve, averaged, cost_at, saving_factors
from calibration.replay.outcomes import Outcome
from calibration.replay.saving_rows import SHARES, part_way
from calibration.report.targets import Interval

BINS = 5
ORACLE, PREDICTED = "compute-optimal, oracle bins", "compute-optimal, predicted bins"
AT, TIMES = (16, MAX_N), 4.0  # budgets at which savings are reported; the paper's saving
NEARLY = min(SHARES)


@dataclass(frozen=True)
class OneTable:
    """Searches and revisions side by side, on the same prompts.

    Attributes:
        searched: knows all plans but revisions.
        revised: knows revisions.
    """

    searched: PlanOutcomes
    revised: PlanOutcomes

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return self.searched.prompts

    @property
    def replicates(self) -> int:
        """Replays of each prompt."""
        return self.searched.replicates

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        """The outcome where the plan is known."""
        known = self.revised if plan.strategy == "revisions" else self.searched
        return known.outcome(plan, pilots)


def bins_by(pass_at_1: NDArray[np.float64]) -> NDArray[np.int64]:
    """The quantile bin of each prompt, 0 the easiest.

    Args:
        pass_at_1: or another measure in [0, 1], greater for easier prompts, shape (prompts,).
    """
    return bin_of(edges_of(pass_at_1, BINS, 1), pass_at_1)


def compute_optimal(
    name: str,
    outcomes: PlanOutcomes,
    plans: Sequence[Plan],
    budgets: Sequence[int],
    bins: NDArray[np.int64],
) -> Curve:
    """In each bin, the plan of the budget that was most accurate on the other fold's prompts.

    Cheaper plans are no candidates, as in the paper: the more candidates, the more often the best
    is so by luck.

    Args:
        name: of the curve.
        outcomes: how plans did on the test prompts.
        plans: to choose among; they take no pilots.
        budgets: generations per prompt.
        bins: of each prompt, shape (prompts,).
    """
    shape = outcomes.prompts, outcomes.replicates
    of_entries, n_bins = np.repeat(bins, shape[1]), int(bins.max()) + 1
    found, costs = [], []
    for budget in budgets:
        candidates = [plan for plan in plans if plan.cost(0) == budget]
        binned = gather(outcomes, candidates, 0, of_entries, n_bins)
        correct, spent, tokens, flops = held_out_figures(binned, most_accurate_by_bin)
        found.append(Outcome(*(values.reshape(shape) for values in (correct, tokens, flops))))
        costs.append(spent.reshape(shape))
    return averaged(name, budgets, found, costs)


def savings_of(
    baseline: Curve,
    methods: Sequence[Curve],
    draws: NDArray[np.int64],
    claimed: str = "",
) -> tuple[Finding, list[tuple[str, Interval]]]:
    """Whether the first method takes `TIMES` less than the baseline; every method's saving.

    The finding is at `NEARLY` of the way from one solution's accuracy to the baseline's: where the
    baseline is flat, tenths of a point decide what reaching all of it costs.

    Args:
        baseline: the same plan for all prompts, for example best-of-N weighted.
        methods: compute-optimal choices, the one by oracle bins first.
        draws: bootstrap draws of prompts.
        claimed: what the claim begins with.
    """
    found = {
        (share, method.name, budget): times
        for share in SHARES
        for method in methods
        for budget, times in zip(
            AT,
            saving_factors(part_way(baseline, share), AT, method, draws, "generations"),
            strict=True,
        )
    }
    finding = Finding(
        f"{claimed}with oracle bins {NEARLY:.0%} of the way from one solution to {baseline.name} "
        f"at {MAX_N} takes over {TIMES:g} times less",
        found[NEARLY, methods[0].name, MAX_N],
        unit="times",
        bound=TIMES,
    )
    savings = [
        (f"{name}: saving at {budget}" + (f", {share:.0%} of the way" if share < 1 else ""), times)
        for (share, name, budget), times in found.items()
    ]
    return finding, savings


def at_budget(curve: Curve, budget: float) -> NDArray[np.float64]:
    """Accuracy of each prompt at a budget between two of the curve's: a mix of the two.

    Above its greatest budget, the curve ends.
    """
    budgets = np.array(curve.budgets, dtype=float)
    return np.array([np.interp(budget, budgets, line) for line in curve.correct.T])


def needed(
    curve: Curve, wanted: NDArray[np.float64], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Average generations for the average of the wanted accuracies, of each draw.

    Infinite where the curve never reaches it.

    Args:
        curve: the method.
        wanted: of each prompt, shape (prompts,).
        draws: bootstrap draws of prompts.
    """
    return np.array(
        [
            cost_at(
                curve.correct[:, drawn].mean(axis=1),
                curve.generations[:, drawn].mean(axis=1),
                float(wanted[drawn].mean()),
            )
            for drawn in draws
        ]
    )


def most_accurate_by_bin(binned: BinnedOutcomes) -> list[int]:
    """The paper's rule (section 3.2): the bin's most accurate plan, by however small a margin."""
    return [
        most_accurate(binned.correct[:, inside], binned.costs)
        if np.any(inside := binned.bins == b)
        else 0
        for b in range(binned.n_bins)
    ]
