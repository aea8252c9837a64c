"""Fitting what more solutions gain, and what prices lead to (section 3, one prompt at a time)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.price import PriceList, PricePoint
from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.budget_replay import PRICES, stopped_at
from predictors.gain_model import GainModel

FOLDS = 5


@dataclass(frozen=True)
class FittedGainModel:
    """What a schedule promises.

    Attributes:
        gain_model: fitted on every prompt.
        prices: the schedule, and what each price led to on prompts that the prospects had not seen.
    """

    gain_model: GainModel
    prices: PriceList


def fit_gain_model(replayed: Sequence[tuple[Schedule, AdaptiveRuns]]) -> FittedGainModel:
    """Fit prospects on the schedule that does best on prompts they had not seen.

    Best: the greatest accuracy on average over what can be spent, from one generation a prompt to
    eight, on a logarithmic scale.

    Args:
        replayed: schedules to choose among, each with its climbs of the same prompts.
    """
    found = []
    for schedule, adaptive_runs in replayed:
        gains = cross_validated_gains(schedule, adaptive_runs)
        prices = price_list(schedule, adaptive_runs, gains)
        found.append((_worth(prices), schedule, adaptive_runs, prices))
    _, schedule, adaptive_runs, prices = max(found, key=lambda entry: entry[0])
    flat = adaptive_runs.states.reshape(-1, *adaptive_runs.states.shape[2:])
    gain_model = GainModel.fit(schedule, flat, adaptive_runs.correct.reshape(len(flat), -1))
    return FittedGainModel(gain_model, prices)


def cross_validated_gains(schedule: Schedule, adaptive_runs: AdaptiveRuns) -> NDArray[np.float64]:
    """Gain of each stage over each, by prospects that never saw the prompt.

    Returns:
        Shape (prompts, replicates, stages from, stages to); 0 at and below a stage itself.
    """
    from sklearn.model_selection import GroupKFold

    prompts = len(adaptive_runs.states)
    gains = np.zeros((*adaptive_runs.correct.shape, len(schedule.stages)))
    splits = GroupKFold(min(FOLDS, prompts)).split(np.arange(prompts), groups=np.arange(prompts))
    for train, held_out in splits:
        states = adaptive_runs.states[train].reshape(-1, *adaptive_runs.states.shape[2:])
        correct = adaptive_runs.correct[train].reshape(len(states), -1)
        fitted = GainModel.fit(schedule, states, correct)
        gains[held_out] = gains_between_stages(fitted, schedule, adaptive_runs.states[held_out])
    return gains


def gains_between_stages(
    gain_model: GainModel, schedule: Schedule, states: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gain of each stage over each; see `cross_validated_gains`."""
    count = len(schedule.stages)
    gains = np.zeros((*states.shape[:3], count))
    for stage in range(count - 1):
        flat = states[:, :, stage].reshape(-1, states.shape[-1])
        above = gain_model.gains(schedule, stage, flat)
        gains[:, :, stage, stage + 1 :] = above.reshape(*states.shape[:2], -1)
    return gains


def price_list(
    schedule: Schedule, adaptive_runs: AdaptiveRuns, gains: NDArray[np.float64]
) -> PriceList:
    """What each price leads to."""
    costs = np.array(schedule.costs, dtype=float)
    points = []
    for price in PRICES:
        ends = stopped_at(schedule, gains, price)
        right = np.take_along_axis(adaptive_runs.correct, ends[..., None], axis=2)
        points.append(
            PricePoint(
                price=price,
                generations=float(costs[ends].mean()),
                accuracy=float(right.mean()),
            )
        )
    return PriceList(schedule=schedule, points=tuple(points))


def _worth(prices: PriceList) -> float:
    spent = np.log([point.generations for point in prices.points])[::-1]
    right = np.array([point.accuracy for point in prices.points])[::-1]
    wanted = np.linspace(0, np.log(8), 16)
    return float(np.interp(wanted, np.maximum.accumulate(spent), right).mean())
