"""Two-fold cross-validation and bootstrap intervals over prompts (section 3.2)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BOOTSTRAP_DRAWS = 2000
BATCH = 1_000_000  # resampled prompts held in memory at a time


def most_accurate(correct: NDArray[np.float64], costs: ArrayLike) -> int:
    """The paper's choice in a bin: the most accurate plan, of equally accurate ones the cheapest.

    Args:
        correct: shape (plans, entries); an entry is one replicate of a prompt.
        costs: generations of each plan.

    Returns:
        Index of the chosen plan.
    """
    return int(np.lexsort((np.asarray(costs), -correct.mean(axis=1)))[0])


def cheapest_not_clearly_worse(
    correct: NDArray[np.float64],
    costs: ArrayLike,
    prompts: NDArray[np.int64],
    accuracies: NDArray[np.float64] | None = None,
) -> int:
    """The cheapest plan that is not clearly worse than the most accurate one.

    Clearly worse: its paired deficit to the most accurate plan exceeds one standard error of that
    deficit (the one-standard-error rule), with prompts as the independent units.

    Args:
        correct: shape (plans, entries); an entry is one replicate of a prompt.
        costs: generations of each plan.
        prompts: which prompt each entry belongs to, shape (entries,).
        accuracies: better estimates of the plans' accuracies than their means here.

    Returns:
        Index of the chosen plan.
    """
    means = correct.mean(axis=1) if accuracies is None else accuracies
    best = int(np.lexsort((np.asarray(costs), -means))[0])
    _, unit = np.unique(prompts, return_inverse=True)
    # Of equally cheap plans the more accurate comes first.
    for plan in np.lexsort((-means, np.asarray(costs))):
        paired = correct[best] - correct[plan]
        sums = np.bincount(unit, paired - paired.mean())
        spread = np.sum(sums**2) * len(sums) / max(len(sums) - 1, 1)
        # The tolerance is for rounding: a deficit on a single prompt equals one standard error.
        if means[best] - means[plan] <= np.sqrt(spread) / len(paired) + 1e-12:
            return int(plan)
    return best


def fold_of(prompts: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """The fold, 0 or 1, of each entry: prompts halved at random, all entries of one together."""
    units, unit = np.unique(prompts, return_inverse=True)
    return np.random.default_rng(seed).permutation(np.arange(len(units)) % 2)[unit]


def mean_interval(
    values: NDArray[np.float64], prompts: NDArray[np.int64], seed: int = 0
) -> tuple[float, float, float]:
    """Mean with a 95% percentile bootstrap interval over prompts.

    Where all values are 0 or all are 1 the bootstrap has no spread; Jeffreys' interval for that
    number of prompts is used instead.

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
