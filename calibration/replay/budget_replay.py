"""Curves of adaptive runs: at a price per generation, or within one total budget (section 3)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from allocator.price import PriceList
from allocator.schedule import Schedule, allocate_stage, worth_continuing
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.curves import Curve, averaged
from calibration.replay.outcomes import Outcome
from calibration.replay.ways import PRICE, TOTAL

# From where nothing is worth a generation to where everything is.
PRICES = tuple(float(price) for price in np.geomspace(1e-5, 0.5, 40))
# Points of a curve for each doubling of the average budget.
PER_DOUBLING = 4


def averages_between(budgets: Iterable[float]) -> tuple[float, ...]:
    """Average budgets from 1 to the largest of some budgets: these budgets, and others between."""
    known = set(budgets)
    doublings = np.arange(0, np.log2(max(known)), 1 / PER_DOUBLING)
    return tuple(sorted(known | {round(float(2**power), 2) for power in doublings}))


def early_stopping_curves(
    schedule: Schedule,
    prices: PriceList,
    adaptive_runs: AdaptiveRuns,
    gains: NDArray[np.float64],
    averages: Sequence[float],
) -> tuple[Curve, Curve]:
    """The curves of the ways that stop early: by price, and within one total.

    Args:
        schedule: the schedule of the runs.
        prices: gives the price for each average.
        adaptive_runs: the replayed runs.
        gains: predicted gain between stages, shape (prompts, replicates, stages, stages).
        averages: budgets, in generations per prompt on average; one point each. By price the
            average that is spent may differ from the budget; within a total it is never more.
    """
    known = [prices.price_for(average) for average in averages]
    by_price = price_curve(PRICE, schedule, adaptive_runs, gains, known)
    in_total = shared_budget_curve(TOTAL, schedule, adaptive_runs, gains, averages)
    budgets = tuple(averages)
    return replace(by_price, budgets=budgets), replace(in_total, budgets=budgets)


def price_curve(
    name: str,
    schedule: Schedule,
    adaptive_runs: AdaptiveRuns,
    gains: NDArray[np.float64],
    prices: Sequence[float] = PRICES,
) -> Curve:
    """Each run stopped by a price, one point per price; see `Solver.solve_at_price`.

    Args:
        name: of the curve.
        schedule: the schedule.
        adaptive_runs: the replayed runs.
        gains: predicted gain between stages, shape (prompts, replicates, stages, stages).
        prices: accuracy that a generation must gain.
    """
    ends = [stopped_at(schedule, gains, price) for price in prices]
    return curve_of_stops(name, schedule, adaptive_runs, ends)


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
            *(
                np.take_along_axis(values, stops[..., None], axis=2)[..., 0]
                for values in (adaptive_runs.correct, adaptive_runs.tokens, adaptive_runs.flops)
            )
        )
        for stops in ends
    ]
    return averaged(name, range(len(ends)), outcomes, [costs[stops] for stops in ends])
