"""Transforms that several predictors apply to what they read, and to what they predict."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bounded_exp(exponent: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """The exponential of values that are clipped to [low, high], of the same shape."""
    return np.asarray(np.exp(np.clip(exponent, low, high)))


def sqrt_nll(nll: ArrayLike) -> NDArray[np.float64]:
    """Root of negative log-probabilities, of the same shape; those below 0 count as 0."""
    return np.asarray(np.sqrt(np.maximum(0.0, np.asarray(nll, dtype=float))))


def log_odds(probabilities: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """Log-odds of probabilities, or of scores in [0, 1], of the same shape.

    Args:
        probabilities: any shape.
        clip: distance from 0 and 1 to which they are clipped.
    """
    # Every step of a search is scored: np.clip takes several times as long for one number.
    bounded = np.minimum(np.maximum(probabilities, clip), 1 - clip)
    return np.asarray(np.log(bounded / (1 - bounded)))
