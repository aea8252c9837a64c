"""Curves of adaptive runs: at a price per generation, or within one total budget (section 3)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Schedule, allocate_stage, worth_continuing
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.curves import Curve, averaged
from calibration.replay.replay import Outcome

# From where nothing is worth a generation to where everything is.
PRICES = tuple(float(price) for price in np.geomspace(1e-5, 0.5, 40))


def stopped_at(schedule: Schedule, gains: NDArray[np.float64], price: float) -> NDArray[np.int64]:
    """The stage at which each adaptive run ends at a price, shape (prompts, replicates)."""
    ends = np.full(gains.shape[:2], len(schedule.stages) - 1)
    for stage in reversed(range(len(schedule.stages) - 1)):
        on = worth_continuing(schedule.costs, stage, gains[:, :, stage, stage + 1 :], price)
        ends = np.where(on, ends, stage)
    return ends


def shared_budget_curve(
    name: str,
    schedule: Schedule,
    adaptive_runs: AdaptiveRuns,
    gains: NDArray[np.float64],
    averages: Sequence[float],
) -> Curve:
    """One budget over all prompts of a replicate, allocated anew after every stage.

    Args:
        name: of the curve.
        schedule: the schedule.
        adaptive_runs: the replayed runs.
        gains: predicted gain between stages, shape (prompts, replicates, stages, stages).
        averages: budgets, in generations per prompt on average; one point each.
    """
    ends = []
    for average in averages:
        stops = np.zeros(
            (len(adaptive_runs.correct), adaptive_runs.correct.shape[1]), dtype=np.int64
        )
        for replicate in range(stops.shape[1]):
            stops[:, replicate] = _stops_within(schedule, gains[:, replicate], average * len(stops))
        ends.append(stops)
    return curve_of_stops(name, schedule, adaptive_runs, ends)


def _stops_within(
    schedule: Schedule, gains: NDArray[np.float64], total: float
) -> NDArray[np.int64]:
    """The last stage of each prompt within a total; gains of shape (prompts, stages, stages)."""
    costs, rows = np.array(schedule.costs, dtype=float), np.arange(len(gains))
    stages = np.zeros(len(gains), dtype=np.int64)
    while True:
        left = total - float(costs[stages].sum())
        continuing = allocate_stage(costs, stages, gains[rows, stages], left)
        if not continuing.any():
            return stages
        stages[continuing] += 1


def curve_of_stops(
    name: str, schedule: Schedule, adaptive_runs: AdaptiveRuns, ends: Sequence[NDArray[np.int64]]
) -> Curve:
    """The curve of runs that end at given stages.

    Args:
        name: of the curve.
        schedule: the schedule.
        adaptive_runs: the replayed runs.
        ends: for each point the last stage of each run, shape (prompts, replicates).
    """
    costs = np.array(schedule.costs, dtype=float)
    outcomes = [
        Outcome(
            np.take_along_axis(adaptive_runs.correct, stops[..., None], axis=2)[..., 0],
            np.take_along_axis(adaptive_runs.tokens, stops[..., None], axis=2)[..., 0],
        )
        for stops in ends
    ]
    return averaged(name, range(len(ends)), outcomes, [costs[stops] for stops in ends])
