"""Compare regressors of difficulty: the library's own and others on the same folds.

Every prompt is predicted by regressors that never saw it, once in each of several divisions into
folds, from the pilots of every replicate. Intervals are over prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from allocator.errors import InputError
from allocator.schema import Schema
from benchmarks.allocation.regressors import OF_PILOTS, OF_PROMPTS, OF_STATES, REFERENCE
from calibration.fitting.crossval import Regressor, out_of_fold_predictions
from calibration.replay.curves import interval, resamples
from calibration.replay.replay import Replay
from predictors.prompt import with_states

SHUFFLES = 5  # divisions into folds
BINS = 10  # of equal width, for the calibration error


class Estimate(Schema):
    """A value and its 95% interval over prompts."""

    value: float
    low: float
    high: float


class Compared(Schema):
    """One regressor on one kind of input, held out.

    Attributes:
        pilots: pilot samples that it reads; 0 for the prompt alone.
        inputs: ``pilots``, ``prompt``, or ``prompt and state``.
        regressor: its name.
        spearman: rank correlation of predicted with measured pass@1.
        rmse: root mean squared error against measured pass@1.
        calibration_error: mean distance of predicted from measured pass@1 over bins of predictions.
            Chance adds to it, in resampled prompts twice: its interval lies high.
        spearman_gain: `spearman` minus LightGBM's on the same inputs: above 0 it beats LightGBM.
        rmse_gain: `rmse` minus LightGBM's: below 0 it beats LightGBM.
    """

    pilots: int
    inputs: str
    regressor: str
    spearman: Estimate
    rmse: Estimate
    calibration_error: Estimate
    spearman_gain: Estimate
    rmse_gain: Estimate


@dataclass(frozen=True)
class PromptInputs:
    """Features of prompts that are known before any sample.

    Attributes:
        features: `predictors.prompt.prompt_features`, shape (prompts, features).
        states: the model's state at each prompt's last token, shape (prompts, hidden).
    """

    features: NDArray[np.float64]
    states: NDArray[np.floating]


def compare(
    outcomes: Replay,
    pilots: Sequence[int] = (0, 1, 2, 4, 8),
    prompt: PromptInputs | None = None,
    shuffles: int = SHUFFLES,
) -> list[Compared]:
    """Compare regressors of difficulty at every number of pilots.

    Args:
        outcomes: source of pilot features and measured pass@1.
        pilots: numbers of pilots; 0 compares regressors that read the prompt alone.
        prompt: inputs of those that read the prompt alone.
        shuffles: number of divisions into folds.

    Raises:
        InputError: 0 pilots without `prompt`.
    """
    rows = []
    for count in pilots:
        if count:
            inputs = outcomes.features(count)
            rows += _compared(
                count, "pilots", inputs, outcomes.pass_at_1_by_prompt, OF_PILOTS, shuffles
            )
            continue
        if prompt is None:
            raise InputError("prompt", None, "0 pilots: give what is known of the prompts alone")
        surface = prompt.features[:, None]
        both = with_states(surface, prompt.states)
        for name, inputs, regressors in (
            ("prompt", surface, OF_PROMPTS),
            ("prompt and state", both, OF_STATES),
        ):
            rows += _compared(0, name, inputs, outcomes.pass_at_1_by_prompt, regressors, shuffles)
    return rows


def _compared(
    pilots: int,
    inputs: str,
    features: NDArray[np.float64],
    pass_at_1: NDArray[np.float64],
    regressors: Mapping[str, Callable[[], Regressor]],
    shuffles: int,
) -> list[Compared]:
    """One row per regressor; features have shape (prompts, replicates, features)."""
    draws = resamples(len(pass_at_1))
    found = {
        name: figures(held_out(features, pass_at_1, make, shuffles), pass_at_1, draws)
        for name, make in regressors.items()
    }
    return [
        Compared(
            pilots=pilots,
            inputs=inputs,
            regressor=name,
            spearman=_estimate(spearman),
            rmse=_estimate(rmse),
            calibration_error=_estimate(error),
            spearman_gain=_estimate(spearman - found[REFERENCE][0]),
            rmse_gain=_estimate(rmse - found[REFERENCE][1]),
        )
        for name, (spearman, rmse, error) in found.items()
    ]


def held_out(
    features: NDArray[np.float64],
    pass_at_1: NDArray[np.float64],
    make: Callable[[], Regressor],
    shuffles: int,
) -> NDArray[np.float64]:
    """Out-of-fold predictions, shape (prompts, shuffles x replicates)."""
    count, replicates, width = features.shape
    rows, target = features.reshape(-1, width), np.repeat(pass_at_1, replicates)
    found = []
    for seed in range(shuffles):
        # Folds follow the prompts' numbers: renumbering them gives another division.
        numbers = np.random.default_rng(seed).permutation(count).repeat(replicates)
        predicted = out_of_fold_predictions(rows, target, numbers, make)
        found.append(predicted.reshape(count, replicates))
    return np.clip(np.concatenate(found, axis=1), 0, 1)


def figures(
    predicted: NDArray[np.float64], measured: NDArray[np.float64], draws: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rank correlation, root mean squared error and calibration error of each draw of prompts.

    Ranks are those among all prompts. The rank correlation is averaged over shuffles and
    replicates, each of which ranks every prompt once.
    """
    count = len(measured)
    times = np.array([np.bincount(draw, minlength=count) for draw in draws]) / count
    ranks, of_measured = rankdata(predicted, axis=0), rankdata(measured)
    covariance = times @ (ranks * of_measured[:, None])
    covariance -= (times @ ranks) * (times @ of_measured)[:, None]
    spread = times @ ranks**2 - (times @ ranks) ** 2
    own = times @ of_measured**2 - (times @ of_measured) ** 2
    spearman = (covariance / np.sqrt(np.maximum(spread * own[:, None], 1e-12))).mean(axis=1)

    errors = predicted - measured[:, None]
    rmse = np.sqrt(times @ (errors**2).mean(axis=1))
    bins = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
    gaps = [np.mean(errors * (bins == b), axis=1) for b in range(BINS)]
    return spearman, rmse, np.abs(times @ np.stack(gaps, axis=1)).sum(axis=1)


def _estimate(values: NDArray[np.float64]) -> Estimate:
    value, low, high = interval(values)
    return Estimate(value=value, low=low, high=high)
