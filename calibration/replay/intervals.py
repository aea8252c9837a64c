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
    from scipy.stats import beta, bootstrap

    _, unit = np.unique(prompts, return_inverse=True)
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    if np.all(values == 0) or np.all(values == 1):
        right = len(sums) * float(values[0])
        low, high = beta.ppf([0.025, 0.975], right + 0.5, len(sums) - right + 0.5)
        return float(values[0]), *((low, 1.0) if values[0] else (0.0, high))
    found = bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        n_resamples=BOOTSTRAP_DRAWS,
        batch=BATCH // len(sums) + 1,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(values.mean()), float(found.low), float(found.high)
