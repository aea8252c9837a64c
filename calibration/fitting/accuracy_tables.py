"""Tables from replayed outcomes: accuracy curves, candidate schedules, the drift baseline."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of, shares_of
from allocator.curves import AccuracyCurves, BinCurves, PlanEstimate
from allocator.drift_baseline import DriftBaseline
from allocator.plan import Plan
from allocator.schedule import Schedule, schedule_of
from calibration.fitting.binned import gather
from calibration.fitting.crossval import most_accurate
from calibration.fitting.difficulty import FittedDifficulty
from calibration.fitting.plan_selection import bin_accuracies
from calibration.replay.outcomes import Outcomes
from predictors.difficulty import traffic_signals

# Searches in schedules begin at this cost, and those of some schedules end at the other.
SMALLEST_SEARCH, SMALL_SEARCH = 4, 8


def accuracy_curves(
    outcomes: Outcomes,
    grid: Callable[[int, int], Sequence[Plan]],
    budget: int,
    difficulty: Mapping[int, FittedDifficulty],
) -> AccuracyCurves:
    """Accuracy and cost of every plan in every bin, for each number of pilots, 0 included.

    Accuracies are those of `bin_accuracies`.

    Args:
        outcomes: outcomes of plans on the calibration prompts.
        grid: the plans to consider, by budget and number of pilots already spent from it.
        budget: the largest budget.
        difficulty: the difficulty models, by number of pilots.
    """
    curves = []
    for paid in sorted({0, *difficulty}):
        known = difficulty.get(paid)
        edges = () if known is None else known.edges
        count, entries = len(edges) + 1, outcomes.prompts * outcomes.replicates
        bins = np.zeros(entries, int) if known is None else bin_of(edges, known.predicted)
        binned = gather(outcomes, grid(budget, paid), paid, bins, count)
        accuracy = bin_accuracies(binned)
        options = tuple(
            tuple(
                PlanEstimate(
                    plan=plan,
                    generations=plan.cost(paid),
                    accuracy=float(np.clip(accuracy[number, b], 0, 1)),
                    tokens=float(binned.tokens[number][bins == b].mean()),
                )
                for number, plan in enumerate(binned.plans)
            )
            for b in range(count)
        )
        shares = shares_of(bins, count)
        curves.append(BinCurves(pilots=paid, edges=edges, bins=options, shares=shares))
    return AccuracyCurves(curves=tuple(curves))


def drift_baseline_of(outcomes: Outcomes, known: FittedDifficulty) -> DriftBaseline:
    """Distributions of the calibration prompts' pilot scores, agreement and bins.

    What the prompts do not have is left out.
    """
    features = outcomes.features(known.pilots).reshape(len(known.predicted), -1)
    signals = traffic_signals(features, known.predicted, known.edges)
    known_signals = {
        name: values for name, values in signals.items() if np.all(np.isfinite(values))
    }
    return DriftBaseline.of(known_signals, outcomes.prompts, known.pilots)


def schedules_of(
    outcomes: Outcomes,
    plans: Sequence[Plan],
    most: int,
    prompts: NDArray[np.int64] | slice = slice(None),
) -> list[Schedule]:
    """Candidate schedules: samples alone, and with searches after the first few samples.

    Searches escalate: a small one answers most prompts that a few samples leave open, and only
    what it leaves open takes one twice as large. Schedules end with a small search or with the
    largest.

    Args:
        outcomes: outcomes of plans on the calibration prompts.
        plans: plans without pilots, among which the searches are chosen.
        most: independent solutions at the last stage.
        prompts: those on which the searches are chosen, all by default. Whichever they are, the
            schedules have the same costs, in the same order.
    """
    by_cost: dict[int, list[Plan]] = {}
    for plan in plans:
        if plan.strategy in ("beam_search", "dvts") and plan.cost(0) >= SMALLEST_SEARCH:
            by_cost.setdefault(plan.cost(0), []).append(plan)
    searches = []
    for _, alike in sorted(by_cost.items()):
        correct = np.array([outcomes.outcome(plan, 0).correct[prompts].ravel() for plan in alike])
        searches.append(alike[most_accurate(correct, [plan.cost(0) for plan in alike])])
    small = [search for search in searches if search.cost(0) <= SMALL_SEARCH]
    return list(
        dict.fromkeys(
            schedule_of(most, of_size, after)
            for of_size in ([], small, searches)
            for after in ((1, 2, 4) if of_size else (1,))
            if after <= most
        )
    )
