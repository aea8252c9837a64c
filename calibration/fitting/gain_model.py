"""Fitting the gain model, and the cost and accuracy of each price (section 3, per prompt)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.price import PriceList, PricePoint
from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.budget_replay import PRICES, early_stopping_curves, stopped_at
from calibration.replay.curves import Curve
from predictors.gain_model import GainEstimator, GainModel

FOLDS = 5


@dataclass(frozen=True)
class FittedGainModel:
    """A schedule with its fitted gain model.

    Attributes:
        gain_model: fitted on every prompt.
        prices: the schedule, and each price's cost and accuracy on prompts held out of the fit.
        adaptive_runs: the calibration prompts' runs on the schedule.
        held_out_gains: their predicted gains between stages, as `cross_validated_gains` gives them.
    """

    gain_model: GainModel
    prices: PriceList
    adaptive_runs: AdaptiveRuns
    held_out_gains: NDArray[np.float64]

    def held_out_curves(self, averages: Sequence[float]) -> tuple[Curve, Curve]:
        """Accuracy and cost by price and within one total, on prompts held out of the fit.

        Args:
            averages: budgets, in generations per prompt on average; one point each.
        """
        return early_stopping_curves(
            self.prices.schedule, self.prices, self.adaptive_runs, self.held_out_gains, averages
        )


def fit_gain_model(replayed: Sequence[tuple[Schedule, AdaptiveRuns]]) -> FittedGainModel:
    """Fit a gain model on the schedule that does best on held-out prompts.

    Best: the greatest accuracy, averaged over spending from one generation per prompt to eight on a
    logarithmic scale.

    Args:
        replayed: schedules to choose among, each with adaptive runs of the same prompts.
    """
    found = []
    for schedule, adaptive_runs in replayed:
        gains = cross_validated_gains(schedule, adaptive_runs)
        prices = price_list(schedule, adaptive_runs, gains)
        found.append((_mean_accuracy(prices), schedule, adaptive_runs, gains, prices))
    _, schedule, adaptive_runs, gains, prices = max(found, key=lambda entry: entry[0])
    flat = adaptive_runs.states.reshape(-1, *adaptive_runs.states.shape[2:])
    gain_model = (
        GainEstimator(schedule).fit(flat, adaptive_runs.correct.reshape(len(flat), -1)).model_
    )
    return FittedGainModel(gain_model, prices, adaptive_runs, gains)


def cross_validated_gains(schedule: Schedule, adaptive_runs: AdaptiveRuns) -> NDArray[np.float64]:
    """Predicted gain between stages, by gain models that were fitted on other prompts.

    Returns:
        Shape (prompts, replicates, from stage, to stage); 0 up to the stage itself.
    """
    from sklearn.model_selection import GroupKFold

    prompts = len(adaptive_runs.states)
    gains = np.zeros((*adaptive_runs.correct.shape, len(schedule.stages)))
    splits = GroupKFold(min(FOLDS, prompts)).split(np.arange(prompts), groups=np.arange(prompts))
    for train, held_out in splits:
        states = adaptive_runs.states[train].reshape(-1, *adaptive_runs.states.shape[2:])
        correct = adaptive_runs.correct[train].reshape(len(states), -1)
        fitted = GainEstimator(schedule).fit(states, correct).model_
        gains[held_out] = gains_between_stages(fitted, schedule, adaptive_runs.states[held_out])
    return gains


def gains_between_stages(
    gain_model: GainModel, schedule: Schedule, states: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Predicted gain between stages, of states of shape (prompts, replicates, stages, features).

    Returns:
        Shape (prompts, replicates, from stage, to stage); 0 up to the stage itself.
    """
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
    """The average cost and accuracy of each price."""
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


def _mean_accuracy(prices: PriceList) -> float:
    """Accuracy averaged over 1 to 8 generations per prompt on a logarithmic scale."""
    spent = np.log([point.generations for point in prices.points])[::-1]
    right = np.array([point.accuracy for point in prices.points])[::-1]
    wanted = np.linspace(0, np.log(8), 16)
    return float(np.interp(wanted, np.maximum.accumulate(spent), right).mean())
