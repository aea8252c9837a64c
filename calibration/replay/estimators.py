"""Accuracy of best-of-n for every n in closed form, from N >= n samples per question.

The average over all subsets of n samples is unbiased and uses all N samples, so it has less
variance than the first n samples. Weighted best-of-n has no closed form; `LoggedReplay` averages it
over rotations instead.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.errors import InputError

# Questions whose polynomials are multiplied at the same time: fits the cache.
BLOCK = 1024


def _log_choose(n: NDArray[np.float64] | float, k: float) -> NDArray[np.float64]:
    from scipy.special import gammaln

    n = np.asarray(n, dtype=float)
    with np.errstate(invalid="ignore"):
        value = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where(n >= k, value, -np.inf)


def _check(n: int, samples: int) -> None:
    if not 1 <= n <= samples:
        raise InputError("n", n, f"must be between 1 and the number of samples, {samples}")


def best_of_n_accuracy(scores: ArrayLike, correct: ArrayLike, n: int) -> NDArray[np.float64]:
    """Expected accuracy of plain best-of-n: the greatest of n scores wins, averaged over subsets.

    The sample with the r-th lowest score wins C(r - 1, n - 1) of the C(N, n) subsets. Equal scores
    share the probabilities of their ranks.

    Args:
        scores: shape (..., samples).
        correct: booleans, shape (..., samples).
        n: subset size.

    Returns:
        Shape (...).

    Raises:
        InputError: n below 1 or above the number of samples.
    """
    values, graded = np.asarray(scores, dtype=float), np.asarray(correct, dtype=float)
    samples = values.shape[-1]
    _check(n, samples)
    chance = np.exp(
        _log_choose(np.arange(samples, dtype=float), n - 1) - _log_choose(float(samples), n)
    )
    order = np.argsort(values, axis=-1, kind="stable")
    ranked, graded = (np.take_along_axis(a, order, -1) for a in (values, graded))
    # Groups of equal scores, numbered through all the rows.
    new = np.ones(ranked.shape, dtype=bool)
    new[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    group = np.cumsum(new.ravel()) - 1
    mean_correct = np.bincount(group, graded.ravel()) / np.bincount(group)
    return np.asarray((mean_correct[group].reshape(ranked.shape) * chance).sum(-1))


def majority_accuracy(counts: ArrayLike, correct: ArrayLike, n: int) -> NDArray[np.float64]:
    """Expected accuracy of majority voting over n of the samples, averaged over subsets.

    The correct answer wins a subset in which it has k votes and every other answer fewer; where t
    others have k votes too, it wins with probability 1/(t + 1). Subsets are counted, for each k, by
    multiplying the other answers' polynomials, truncated at k, whose i-th coefficient is the number
    of ways to give an answer i votes. To avoid overflow, counts are replaced by equivalent
    probabilities: each sample is drawn independently with probability n/N, given that n are drawn.

    Args:
        counts: samples of each wrong answer, shape (questions, answers); 0 where there are fewer.
        correct: numbers of correct samples and of samples without an answer, which do not vote,
            shape (questions, 2).
        n: subset size.

    Returns:
        Shape (questions,).

    Raises:
        InputError: n below 1 or above the number of samples of a question.
    """
    wrong = -np.sort(-np.asarray(counts, dtype=np.int64), axis=1)
    right, silent = np.asarray(correct, dtype=np.int64).T
    totals = wrong.sum(1) + right + silent
    if len(totals):
        _check(n, int(totals.min()))
    blocks = [slice(start, start + BLOCK) for start in range(0, len(totals), BLOCK)]
    found = [_majority(wrong[b], right[b], silent[b], totals[b], n) for b in blocks]
    return np.concatenate(found) if found else np.empty(0)


def _majority(
    wrong: NDArray[np.int64],
    right: NDArray[np.int64],
    silent: NDArray[np.int64],
    totals: NDArray[np.int64],
    n: int,
) -> NDArray[np.float64]:
    from scipy.stats import binom

    share = n / totals
    won = np.zeros(len(totals))
    for k in range(1, min(n, int(right.max(initial=0))) + 1):
        some = np.flatnonzero(right >= k)
        if not len(some):
            continue
        # Answers with fewer than k samples cannot tie; together they are one binomial.
        rivals = wrong[some] >= k
        free = silent[some] + np.where(rivals, 0, wrong[some]).sum(1)
        votes = np.arange(n - k + 1)
        # ways[question, votes of the others so far, others with k votes]
        max_tied = min((n - k) // k, int(rivals.sum(1).max(initial=0)))
        ways = np.zeros((len(some), n - k + 1, max_tied + 1))
        ways[:, :, 0] = binom.pmf(votes, free[:, None], share[some, None])
        for rival in range(int(rivals.sum(1).max(initial=0))):
            held = np.flatnonzero(rivals[:, rival])
            chances = binom.pmf(
                np.arange(k + 1), wrong[some[held], rival, None], share[some[held], None]
            )
            ways[held] = _times(ways[held], chances, k)
        own = binom.pmf(k, right[some], share[some])
        # The correct answer and t tied others win with equal probability.
        won[some] += own * (ways[:, n - k] / (np.arange(max_tied + 1) + 1)).sum(1)
    return np.asarray(won / binom.pmf(n, totals, share))


def _times(ways: NDArray[np.float64], chances: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Multiply by one more rival of 0 to k votes; with k votes it ties."""
    product = np.zeros_like(ways)
    length = ways.shape[1]
    for votes in range(min(k, length)):
        product[:, votes:] += ways[:, : length - votes] * chances[:, votes, None, None]
    if k < length:
        product[:, k:, 1:] += ways[:, : length - k, :-1] * chances[:, k, None, None]
    return product
