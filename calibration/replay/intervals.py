"""Bootstrap intervals over prompts, which are the independent units."""

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_DRAWS = 2000
BATCH = 1_000_000  # resampled prompts held in memory at a time


def mean_interval(
    values: NDArray[np.float64], prompts: NDArray[np.int64], seed: int = 0
) -> tuple[float, float, float]:
    """Mean with a 95% percentile bootstrap interval over prompts.

    Where all values are 0 or all are 1, resampling shows no spread; Jeffreys' interval for as many
    prompts stands in.

    Args:
        values: shape (entries,).
        prompts: which prompt each entry belongs to, shape (entries,).
        seed: seed of the resampling.

    Returns:
        Mean, low and high.
    """
    from scipy.stats import beta

    _, unit = np.unique(prompts, return_inverse=True)
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    if np.all(values == 0) or np.all(values == 1):
        right = len(sums) * float(values[0])
        low, high = beta.ppf([0.025, 0.975], right + 0.5, len(sums) - right + 0.5)
        return float(values[0]), *((low, 1.0) if values[0] else (0.0, high))
    rng, means = np.random.default_rng(seed), []
    equal = counts.min() == counts.max()
    for start in range(0, BOOTSTRAP_DRAWS, rows := BATCH // len(sums) + 1):
        size = min(rows, BOOTSTRAP_DRAWS - start), len(sums)
        drawn = rng.integers(len(sums), size=size)
        total = np.full(size[0], counts[0] * len(sums)) if equal else counts[drawn].sum(axis=1)
        means.append(sums[drawn].sum(axis=1) / total)
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
