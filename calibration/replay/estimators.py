"""Exact best-of-n for every n from one set of N >= n samples of each question.

Averaging over every subset of n samples, in closed form, uses all N samples at every n and is
unbiased, where taking the first n is noisy. Weighted best-of-n has no closed form;
`calibration.replay.log_replay.LoggedReplay` averages it over many subsets instead.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.errors import InputError

# Questions whose polynomials are multiplied at once: enough to keep numpy busy, few enough for the
# cache.
BLOCK = 1024


def _log_choose(n: NDArray[np.float64] | float, k: float) -> NDArray[np.float64]:
    from scipy.special import gammaln

    n = np.asarray(n, dtype=float)
    with np.errstate(invalid="ignore"):
        value = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where(n >= k, value, -np.inf)


def _check(n: int, samples: int) -> None:
    if not 1 <= n <= samples:
        raise InputError("n", n, f"choose between 1 and the {samples} samples there are")


def best_of_n_accuracy(scores: ArrayLike, correct: ArrayLike, n: int) -> NDArray[np.float64]:
    """Expected accuracy of plain best-of-n: the greatest of n scores wins, averaged over subsets.

    The sample ranked r-th from the bottom wins C(r - 1, n - 1) of the C(N, n) subsets. Equal scores
    share their ranks' chances.

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
    others have k as well, it wins with chance 1/(t + 1). Subsets are counted by multiplying, for
    each k, the other answers' polynomials whose i-th coefficient is the number of ways to give
    them i votes, cut off at k. So that no number overflows, ways are taken as chances of samples
    drawn independently with n/N, given that n of them are drawn: that is the same.

    Args:
        counts: samples of each wrong answer, shape (questions, answers); 0 where there are fewer.
        correct: correct samples and samples without any answer, shape (questions, 2). The latter
            have no vote.
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
        # Answers that cannot have more than k - 1 votes are free: together one binomial.
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
        # Of t tied others and the correct answer, each is as likely to win.
        won[some] += own * (ways[:, n - k] / (np.arange(max_tied + 1) + 1)).sum(1)
    return np.asarray(won / binom.pmf(n, totals, share))


def _times(ways: NDArray[np.float64], chances: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """One more rival, of 0 to k votes; at k it is tied."""
    product = np.zeros_like(ways)
    length = ways.shape[1]
    for votes in range(min(k, length)):
        product[:, votes:] += ways[:, : length - votes] * chances[:, votes, None, None]
    if k < length:
        product[:, k:, 1:] += ways[:, : length - k, :-1] * chances[:, k, None, None]
    return product
