"""Fitting what more thoughts and more depth gain, by least squares on replayed runs.

Both models have few weights, because calibration sets have few questions. Penalties only keep them
bounded: of 1e-6 to 1e-3, held-out questions of AIME 2024 preferred the smallest for the gain of
more thoughts. For that of more depth the smallest two differ by 0.04 points, and with the smallest
the share of unfinished thoughts has weights of 30 and more.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.replay.thinking_run import UNFINISHED, ThinkingRuns
from predictors.gain_model import RHO
from predictors.thinking_policy import (
    DEEPENING,
    MAX_EXPONENT,
    MIN_EXPONENT,
    DepthGain,
    SampleGain,
)
from predictors.thinking_state import BASE, gain_columns
from predictors.transforms import bounded_exp

PENALTY, DEPTH_PENALTY = 1e-6, 1e-5  # on squared weights of standardised columns
DIGITS = 5
START = -3.0  # of the constant: a gain of 5 points


def fit_sample_gain(
    runs: ThinkingRuns,
    stages: Sequence[int],
    direct: int = 0,
    direct_tokens: float = 0.0,
    before: bool = False,
) -> SampleGain:
    """What more samples gain under a cap, from all pairs of stages.

    Args:
        runs: runs under the cap alone.
        stages: samples in all at each stage.
        direct: direct answers that the runs begin with.
        direct_tokens: tokens of one, on average.
        before: fit what more samples gain before as many, in place of after them.
    """
    from scipy.optimize import minimize

    counts = np.asarray(stages, dtype=float)
    starts = np.flatnonzero((counts < direct) == before)
    states = runs.states[:, :, 0].reshape(-1, *runs.states.shape[3:])
    right = runs.correct[:, :, 0].reshape(len(states), -1)
    columns = gain_columns(states)[..., :BASE]
    columns, middle, scale = _standardised(columns, columns[:, starts])
    thoughts = runs.tokens[:, :, 0, -1].mean() - direct * direct_tokens
    tokens = float(thoughts / (stages[-1] - direct))
    begun = np.minimum(counts, direct)
    logs, last = np.log(begun * direct_tokens + (counts - begun) * tokens), len(stages) - 1
    starts = starts[starts < last]
    gained = {stage: right[:, stage + 1 :] - right[:, [stage]] for stage in starts.tolist()}

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, rho = point[:-1], float(np.exp(point[-1]))
        total, slope, by_rho = 0.0, np.zeros(BASE), 0.0
        # Every stage counts the same, whatever the number of stages after it.
        for stage, more in gained.items():
            height = bounded_exp(columns[:, stage] @ weights, MIN_EXPONENT, MAX_EXPONENT)
            growth = logs[stage] - logs[stage + 1 :]
            left = np.exp(rho * growth)
            error = np.outer(height, 1 - left) - more
            share = 1 / (error.size * len(starts))
            total += share * float(np.vdot(error, error))
            slope += 2 * share * ((error @ (1 - left)) * height) @ columns[:, stage]
            by_rho -= 2 * share * rho * float((height @ error) @ (left * growth))
        slope[1:] += 2 * PENALTY * weights[1:]
        total += PENALTY * float(weights[1:] @ weights[1:])
        return total, np.append(slope, by_rho)

    start = np.array([START, *[0.0] * (BASE - 1), np.log(0.5)])
    bounds = [*[(None, None)] * BASE, tuple(np.log(RHO))]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return SampleGain(
        weights=_restored(found[:-1], middle, scale),
        rho=round(float(np.exp(found[-1])), DIGITS),
        tokens=round(direct_tokens if before else tokens, 1),
    )


def fit_depth_gain(runs: ThinkingRuns, first: int = 0, dropped_tokens: int = 0) -> DepthGain:
    """What the step from a cap to the next gains, from all stages.

    Args:
        runs: runs under the two caps.
        first: number of the first stage that counts; there is nothing to deepen before it.
        dropped_tokens: as `ThinkingPolicy.dropped_tokens`.
    """
    from scipy.optimize import minimize

    states = runs.states[:, :, 0, first:].reshape(-1, runs.states.shape[-1])
    gained = (runs.correct[:, :, 1, first:] - runs.correct[:, :, 0, first:]).ravel()
    columns = gain_columns(states)
    columns, middle, scale = _standardised(columns, columns)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        height = bounded_exp(columns @ weights, MIN_EXPONENT, MAX_EXPONENT)
        error = height - gained
        slope = 2 * (error * height) @ columns / len(gained)
        slope[1:] += 2 * DEPTH_PENALTY * weights[1:]
        penalty = DEPTH_PENALTY * float(weights[1:] @ weights[1:])
        return float(error @ error) / len(gained) + penalty, slope

    start = np.array([START, *[0.0] * (DEEPENING - 1)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    cut = states[:, UNFINISHED].sum()
    more = (runs.tokens[:, :, 1, first:] - runs.tokens[:, :, 0, first:]).sum()
    # What a thought cost under the lower cap counts the answer that is dropped now.
    tokens = float(more / max(cut, 1)) + dropped_tokens
    return DepthGain(weights=_restored(found, middle, scale), tokens=round(tokens, 1))


def _standardised(
    columns: NDArray[np.float64], known: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The columns as the known ones are standardised, but for the first, a constant; moments."""
    axes = tuple(range(known.ndim - 1))
    middle, scale = known.mean(axis=axes), known.std(axis=axes)
    middle[0], scale = 0.0, np.where(scale > 1e-9, scale, 1.0)
    scale[0] = 1.0
    return (columns - middle) / scale, middle, scale


def _restored(
    weights: NDArray[np.float64], middle: NDArray[np.float64], scale: NDArray[np.float64]
) -> tuple[float, ...]:
    """Weights of the columns as they were."""
    found = weights / scale
    found[0] -= found @ middle
    return tuple(np.round(found, DIGITS).tolist())
