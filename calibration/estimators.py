"""Exact best-of-n for every n from one set of N >= n samples.

Averaging over every subset of n samples, in closed form where there is one, uses all N samples at
every n and is unbiased, where taking the first n is noisy.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from allocator.errors import InputError


def _log_choose(n: NDArray[np.float64] | float, k: float) -> NDArray[np.float64]:
    n = np.asarray(n, dtype=float)
    with np.errstate(invalid="ignore"):
        value = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where(n >= k, value, -np.inf)


def best_of_n_accuracy(scores: ArrayLike, correct: ArrayLike, n: int) -> float:
    """Expected accuracy of plain best-of-n: the greatest of n scores wins, averaged over subsets.

    The sample ranked r-th from the bottom wins C(r - 1, n - 1) of the C(N, n) subsets. Equal scores
    share their ranks' chances.

    Args:
        scores: shape (samples,).
        correct: booleans, shape (samples,).
        n: subset size.

    Raises:
        InputError: n below 1 or above the number of samples.
    """
    values, graded = np.asarray(scores, dtype=float), np.asarray(correct, dtype=float)
    if not 1 <= n <= len(values):
        raise InputError("n", n, f"choose between 1 and the {len(values)} samples there are")
    ranks = np.arange(len(values), dtype=float)
    chance = np.exp(_log_choose(ranks, n - 1) - _log_choose(float(len(values)), n))
    order = np.argsort(values, kind="stable")
    _, group = np.unique(values[order], return_inverse=True)
    mean_correct = np.bincount(group, graded[order]) / np.bincount(group)
    return float(np.sum(chance * mean_correct[group]))
