"""Bootstrap intervals over prompts, which are the independent units."""

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_DRAWS = 2000
BATCH = 1_000_000  # resampled prompts held in memory at a time
FEW = 5.0  # right or wrong prompts: with fewer, resampling shows too little of others


def mean_interval(
    values: NDArray[np.float64], prompts: NDArray[np.int64], seed: int = 0
) -> tuple[float, float, float]:
    """Mean with a 95% percentile bootstrap interval over prompts.

    Args:
        values: shape (entries,).
        prompts: which prompt each entry belongs to, shape (entries,).
        seed: seed of the resampling.

    Returns:
        Mean, low and high.
    """
    _, unit = np.unique(prompts, return_inverse=True)
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    rng, means = np.random.default_rng(seed), []
    equal = counts.min() == counts.max()
    for start in range(0, BOOTSTRAP_DRAWS, rows := BATCH // len(sums) + 1):
        size = min(rows, BOOTSTRAP_DRAWS - start), len(sums)
        drawn = rng.integers(len(sums), size=size)
        total = np.full(size[0], counts[0] * len(sums)) if equal else counts[drawn].sum(axis=1)
        means.append(sums[drawn].sum(axis=1) / total)
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def accuracy_interval(
    correct: NDArray[np.float64], prompts: NDArray[np.int64]
) -> tuple[float, float, float]:
    """`mean_interval` of an accuracy, `widened` near 0 and 1.

    A bin may hold one replicate of one prompt and all of another. It knows as much as an effective
    number of prompts that each have as many entries.

    Args:
        correct: shape (entries,), each in [0, 1].
        prompts: which prompt each entry belongs to, shape (entries,).

    Returns:
        Accuracy, low and high, in [0, 1].
    """
    mean, low, high = mean_interval(correct, prompts)
    _, entries = np.unique(prompts, return_counts=True)
    return widened(mean, low, high, float(entries.sum() ** 2 / (entries**2).sum()))


def widened(mean: float, low: float, high: float, prompts: float) -> tuple[float, float, float]:
    """A bootstrap interval of an accuracy; near 0 and 1 it covers Jeffreys' interval, too.

    Where nearly all prompts are right, or nearly all wrong, those drawn again differ hardly or not
    at all, though a few other prompts among the next would.

    Args:
        mean: the accuracy.
        low: of the bootstrap.
        high: likewise.
        prompts: number of prompts, or the effective number.

    Returns:
        Mean, low and high.
    """
    # Closed forms and sums of shares may miss 0 and 1 in the last bit, to either side.
    mean, low, high = (min(max(round(figure, 12), 0.0), 1.0) for figure in (mean, low, high))
    right, wrong = mean * prompts, (1 - mean) * prompts
    if min(right, wrong) < FEW:
        from scipy.special import betaincinv

        of_few = betaincinv(right + 0.5, wrong + 0.5, [0.025, 0.975])
        low, high = min(low, float(of_few[0])), max(high, float(of_few[1]))
    return mean, low, high
