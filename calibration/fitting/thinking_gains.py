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
from predictors.thinking_policy import (
    DEEPENING,
    MAX_EXPONENT,
    MIN_EXPONENT,
    DepthGain,
    SampleGain,
)
from predictors.thinking_state import BASE, gain_columns

PENALTY, DEPTH_PENALTY = 1e-6, 1e-5  # on squared weights of standardised columns
DIGITS = 5
START = -3.0  # of the constant: a gain of 5 points


def fit_sample_gain(runs: ThinkingRuns, stages: Sequence[int]) -> SampleGain:
    """What more thoughts gain under a cap, from all pairs of stages.

    Args:
        runs: runs under the cap alone.
        stages: thoughts in all at each stage.
    """
    from scipy.optimize import minimize

    states = runs.states[:, :, 0].reshape(-1, *runs.states.shape[3:])
    right = runs.correct[:, :, 0].reshape(len(states), -1)
    columns, middle, scale = _standardised(gain_columns(states)[..., :BASE])
    logs, last = np.log(np.asarray(stages, dtype=float)), len(stages) - 1

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, rho = point[:-1], float(np.exp(point[-1]))
        total, slope, by_rho = 0.0, np.zeros(BASE), 0.0
        # Every stage counts the same, whatever the number of stages after it.
        for stage in range(last):
            height = _height(columns[:, stage] @ weights)
            growth = logs[stage] - logs[stage + 1 :]
            left = np.exp(rho * growth)
            error = np.outer(height, 1 - left) - (right[:, stage + 1 :] - right[:, [stage]])
            share = 1 / (error.size * last)
            total += share * float(np.vdot(error, error))
            slope += 2 * share * ((error @ (1 - left)) * height) @ columns[:, stage]
            by_rho -= 2 * share * rho * float((height @ error) @ (left * growth))
        slope[1:] += 2 * PENALTY * weights[1:]
        total += PENALTY * float(weights[1:] @ weights[1:])
        return total, np.append(slope, by_rho)

    start = np.array([START, *[0.0] * (BASE - 1), np.log(0.5)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    tokens = runs.tokens[:, :, 0, -1].mean() / stages[-1]
    return SampleGain(
        weights=_restored(found[:-1], middle, scale),
        rho=max(round(float(np.exp(found[-1])), DIGITS), 10.0**-DIGITS),
        tokens=round(float(tokens), 1),
    )


def fit_depth_gain(runs: ThinkingRuns) -> DepthGain:
    """What the step from a cap to the next gains, from all stages.

    Args:
        runs: runs under the two caps.
    """
    from scipy.optimize import minimize

    states = runs.states[:, :, 0].reshape(-1, runs.states.shape[-1])
    gained = (runs.correct[:, :, 1] - runs.correct[:, :, 0]).ravel()
    columns, middle, scale = _standardised(gain_columns(states))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        height = _height(columns @ weights)
        error = height - gained
        slope = 2 * (error * height) @ columns / len(gained)
        slope[1:] += 2 * DEPTH_PENALTY * weights[1:]
        penalty = DEPTH_PENALTY * float(weights[1:] @ weights[1:])
        return float(error @ error) / len(gained) + penalty, slope

    start = np.array([START, *[0.0] * (DEEPENING - 1)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    cut = states[:, UNFINISHED].sum()
    more = (runs.tokens[:, :, 1] - runs.tokens[:, :, 0]).sum()
    return DepthGain(
        weights=_restored(found, middle, scale), tokens=round(float(more / max(cut, 1)), 1)
    )


def _height(exponent: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.clip(exponent, MIN_EXPONENT, MAX_EXPONENT)))


def _standardised(
    columns: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The columns standardised but for the first, a constant; their means and scales."""
    axes = tuple(range(columns.ndim - 1))
    middle, scale = columns.mean(axis=axes), columns.std(axis=axes)
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
