"""Methods of allocation on the test prompts: accuracy, and what they cost."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.budget import allocate
from allocator.curves import BinCurves
from allocator.plan import Plan
from allocator.policy import Policy, settled
from allocator.table import LookupTable
from benchmarks.allocation.family import SeededReplay
from calibration.replay.curves import Curve, averaged
from calibration.replay.outcomes import Outcome
from calibration.replay.policy_curves import PassAt1
from predictors.difficulty import DifficultyModel
from runtime.solving.decide import INTERVAL_LEVEL

# Average generations per prompt, at which one budget is shared out over all of them.
AVERAGES = (
    *(1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 5, 6, 7, 8),
    *(10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64),
)


def planned(
    name: str, replay: SeededReplay, rows: Sequence[tuple[int, int, NDArray[np.object_]]]
) -> Curve:
    """A curve of (budget, pilots, plan of each prompt and seed)."""
    outcomes, costs = [], []
    for _, pilots, plans in rows:
        outcomes.append(replay.mixed_outcome(plans.tolist(), pilots))
        costs.append(np.vectorize(lambda plan, paid=pilots: float(plan.cost(paid)))(plans))
    return averaged(name, [budget for budget, _, _ in rows], outcomes, costs)


def adaptive_pilots(
    name: str,
    replay: SeededReplay,
    table: LookupTable,
    models: dict[int, DifficultyModel],
    pass_at_1: PassAt1,
    least: int,
) -> Curve:
    """The table, with pilots that end as soon as more of them would not change the plan.

    Args:
        name: name of the curve.
        replay: the test prompts.
        table: the table.
        models: difficulty models.
        pass_at_1: predicted pass@1, by number of pilots.
        least: pilots that every prompt has.
    """
    policy, outcomes, costs = Policy(table), [], []
    for row in table.rows:
        shape = (replay.prompts, replay.replicates)
        outcome, cost = Outcome(*np.zeros((3, *shape))), np.zeros(shape)
        left = np.ones(shape, dtype=bool)
        counts = [c for c in models if min(least, row.pilots) <= c <= row.pilots]
        for count in counts if row.edges else [0]:
            values = pass_at_1(count) if row.edges else np.zeros(shape)
            ends = left.copy()
            if row.edges and count < row.pilots:
                bounds = models[count].distribution.interval(values, INTERVAL_LEVEL)
                ends &= settled(row, bounds[..., 0], bounds[..., 1])
            chosen = policy.plans(row.budget, values.ravel(), row).plans
            plans = np.array(chosen, dtype=object).reshape(shape)
            found = replay.mixed_outcome(plans.tolist(), count)
            paid = np.vectorize(lambda plan, count=count: float(plan.cost(count)))(plans)
            for values, of_count in (
                (outcome.correct, found.correct),
                (outcome.tokens, found.tokens),
                (outcome.flops, found.flops),
                (cost, paid),
            ):
                values[ends] = of_count[ends]
            left &= ~ends
        outcomes.append(outcome)
        costs.append(cost)
    return averaged(name, [row.budget for row in table.rows], outcomes, costs)


def shared_by_bin(
    name: str, replay: SeededReplay, curves: BinCurves, pass_at_1: NDArray[np.float64]
) -> Curve:
    """One budget shared by all prompts by the curves of their bins; samples update nothing."""
    accuracies = curves.accuracies
    plans = np.array(curves.plans, dtype=object)
    rows = []
    for average in AVERAGES:
        total = average * replay.prompts
        if total < curves.costs[0] * replay.prompts:
            continue
        chosen = np.empty(pass_at_1.shape, dtype=object)
        for seed in range(replay.replicates):
            bins = bin_of(curves.edges, pass_at_1[:, seed])
            chosen[:, seed] = plans[allocate(curves.costs, accuracies[bins], total).options]
        rows.append((round(average * replay.prompts), curves.pilots, chosen))
    return planned(name, replay, rows)


def bound(name: str, replay: SeededReplay, plans: Sequence[Plan]) -> Curve:
    """Upper bound: allocation that knows each prompt's accuracy with every plan, averaged over
    seeds.

    It is evaluated on the figures it allocates by, so no method can reach it.
    """
    found = [replay.outcome(plan, 0) for plan in plans]
    correct = np.array([outcome.correct.mean(axis=1) for outcome in found]).T
    tokens = np.array([outcome.tokens.mean(axis=1) for outcome in found]).T
    flops = np.array([outcome.flops.mean(axis=1) for outcome in found]).T
    costs = np.array([float(plan.cost(0)) for plan in plans])
    rows = np.arange(replay.prompts)
    chosen = [allocate(costs, correct, average * replay.prompts).options for average in AVERAGES]
    return Curve(
        name,
        tuple(range(len(chosen))),
        np.array([correct[rows, options] for options in chosen]),
        np.array([costs[options] for options in chosen]),
        np.array([tokens[rows, options] for options in chosen]),
        np.array([flops[rows, options] for options in chosen]),
    )
