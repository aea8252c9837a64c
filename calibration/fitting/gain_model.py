"""Fitting the gain model, and the cost and accuracy of each price (section 3, per prompt)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.price import PriceList, PricePoint
from allocator.schedule import Schedule
from calibration.fitting.crossval import folds
from calibration.replay.adaptive_run import AdaptiveRuns, joined
from calibration.replay.budget_replay import PRICES, early_stopping_curves, stopped_at
from calibration.replay.curves import Curve
from calibration.replay.parallel import in_threads, one_blas_thread
from predictors.gain_model import GainEstimator, GainModel


@dataclass(frozen=True)
class FittedGainModel:
    """A schedule with its fitted gain model.

    Attributes:
        gain_model: fitted on every prompt.
        prices: the schedule, and each price's cost and accuracy on prompts held out of the fit of
            the gain model and of the choice of searches. The schedule itself, one of a few, is
            chosen by these figures: on 150 prompts of the testbed that adds 0.2 points to them.
        adaptive_runs: the calibration prompts' runs, with searches chosen on other prompts.
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
    replayed: Sequence[tuple[Schedule, AdaptiveRuns]],
    n_jobs: int | None = -1,
    by_fold: Sequence[Sequence[AdaptiveRuns]] = (),
) -> FittedGainModel:
    """Fit a gain model on the schedule that does best on held-out prompts.

    Best: the greatest accuracy, averaged over spending from one generation per prompt to eight on a
    logarithmic scale.

    Args:
        replayed: schedules to choose among, each with adaptive runs of the same prompts.
        n_jobs: see `calibration.replay.parallel`.
        by_fold: for each schedule, the runs of the same prompts as each of `prompt_folds` has them:
            with the searches that are chosen without the prompts held out there. Without them the
            schedules' searches are taken not to depend on the prompts.
    """
    splits = prompt_folds(len(replayed[0][1].states))
    found = []
    for place, (schedule, adaptive_runs) in enumerate(replayed):
        of_folds = by_fold[place] if by_fold else [adaptive_runs] * len(splits)
        held_out = held_out_runs(of_folds)
        gains = cross_validated_gains(schedule, of_folds, n_jobs)
        prices = price_list(schedule, held_out, gains)
        found.append((_mean_accuracy(prices), schedule, adaptive_runs, held_out, gains, prices))
    _, schedule, adaptive_runs, held_out, gains, prices = max(found, key=lambda entry: entry[0])
    with one_blas_thread():
        gain_model = _fitted(schedule, adaptive_runs)
    return FittedGainModel(gain_model, prices, held_out, gains)


def prompt_folds(prompts: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Prompts to fit on, and prompts held out, for each fold of a number of prompts."""
    return folds(np.arange(prompts))


def held_out_runs(by_fold: Sequence[AdaptiveRuns]) -> AdaptiveRuns:
    """Each prompt's adaptive runs as the fold that holds it out has them.

    Args:
        by_fold: the runs of all prompts, for each of `prompt_folds`.
    """
    held_out = [prompts for _, prompts in prompt_folds(len(by_fold[0].states))]
    found = joined([runs.take(rows) for runs, rows in zip(by_fold, held_out, strict=True)])
    return found.take(np.argsort(np.concatenate(held_out)))


def _fitted(schedule: Schedule, adaptive_runs: AdaptiveRuns) -> GainModel:
    states = adaptive_runs.states.reshape(-1, *adaptive_runs.states.shape[2:])
    correct = adaptive_runs.correct.reshape(len(states), -1)
    return GainEstimator(schedule).fit(states, correct).model_


def cross_validated_gains(
    schedule: Schedule, by_fold: Sequence[AdaptiveRuns], n_jobs: int | None = -1
) -> NDArray[np.float64]:
    """Predicted gain between stages, by gain models that were fitted on other prompts.

    Args:
        schedule: the schedule; a fold may have other searches of the same costs.
        by_fold: the runs of all prompts, for each of `prompt_folds`.
        n_jobs: see `calibration.replay.parallel`.

    Returns:
        Shape (prompts, replicates, from stage, to stage); 0 up to the stage itself.
    """
    gains = np.zeros((*by_fold[0].correct.shape, len(schedule.stages)))
    splits = prompt_folds(len(gains))
    train = [runs.take(rows) for runs, (rows, _) in zip(by_fold, splits, strict=True)]
    models = in_threads(lambda runs: _fitted(schedule, runs), train, n_jobs)
    for (_, held_out), runs, model in zip(splits, by_fold, models, strict=True):
        gains[held_out] = gains_between_stages(model, schedule, runs.states[held_out])
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
