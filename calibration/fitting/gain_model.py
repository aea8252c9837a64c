"""Fitting the gain model, and the cost and accuracy of each price (section 3, per prompt)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.price import PriceList, PricePoint
from allocator.schedule import Schedule
from calibration.fitting.crossval import folds
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.budget_replay import PRICES, early_stopping_curves, stopped_at
from calibration.replay.curves import Curve
from calibration.replay.parallel import in_threads, one_blas_thread
from predictors.gain_model import GainEstimator, GainModel


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


def fit_gain_model(
    replayed: Sequence[tuple[Schedule, AdaptiveRuns]], n_jobs: int | None = -1
) -> FittedGainModel:
    """Fit a gain model on the schedule that does best on held-out prompts.

    Best: the greatest accuracy, averaged over spending from one generation per prompt to eight on a
    logarithmic scale.

    Args:
        replayed: schedules to choose among, each with adaptive runs of the same prompts.
        n_jobs: see `calibration.replay.parallel`.
    """
    found = []
    for schedule, adaptive_runs in replayed:
        gains = cross_validated_gains(schedule, adaptive_runs, n_jobs)
        prices = price_list(schedule, adaptive_runs, gains)
        found.append((_mean_accuracy(prices), schedule, adaptive_runs, gains, prices))
    _, schedule, adaptive_runs, gains, prices = max(found, key=lambda entry: entry[0])
    with one_blas_thread():
        gain_model = _fitted(schedule, adaptive_runs, np.arange(len(adaptive_runs.states)))
    return FittedGainModel(gain_model, prices, adaptive_runs, gains)


def _fitted(
    schedule: Schedule, adaptive_runs: AdaptiveRuns, prompts: NDArray[np.int64]
) -> GainModel:
    """A gain model fitted on some prompts."""
    states = adaptive_runs.states[prompts].reshape(-1, *adaptive_runs.states.shape[2:])
    correct = adaptive_runs.correct[prompts].reshape(len(states), -1)
    return GainEstimator(schedule).fit(states, correct).model_


def cross_validated_gains(
    schedule: Schedule, adaptive_runs: AdaptiveRuns, n_jobs: int | None = -1
) -> NDArray[np.float64]:
    """Predicted gain between stages, by gain models that were fitted on other prompts.

    Returns:
        Shape (prompts, replicates, from stage, to stage); 0 up to the stage itself.
    """
    gains = np.zeros((*adaptive_runs.correct.shape, len(schedule.stages)))
    splits = folds(np.arange(len(adaptive_runs.states)))
    train = [prompts for prompts, _ in splits]
    models = in_threads(lambda rows: _fitted(schedule, adaptive_runs, rows), train, n_jobs)
    for (_, held_out), model in zip(splits, models, strict=True):
        gains[held_out] = gains_between_stages(model, schedule, adaptive_runs.states[held_out])
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
