"""Cross-validation over prompts: two folds for plans (section 3.2), five for models."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS = 5  # of models


def folds(prompts: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Prompts to fit a model on, and prompts held out of the fit, for each of `FOLDS` folds.

    Args:
        prompts: number of prompts; with fewer than `FOLDS` each is a fold.
    """
    from sklearn.model_selection import GroupKFold

    everyone = np.arange(prompts)
    return list(GroupKFold(min(FOLDS, prompts)).split(everyone, groups=everyone))


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
