"""Cross-validation over prompts: two folds for plans (section 3.2), five for models."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS = 5  # of models


class Regressor(Protocol):
    """A scikit-learn regressor: `fit` returns itself, `predict` expected pass@1, shape (rows,)."""

    def fit(self, features: NDArray[Any], pass_at_1: NDArray[np.float64]) -> Any: ...

    def predict(self, features: NDArray[Any]) -> NDArray[np.float64]: ...


def folds(owners: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit a model on, and rows held out of the fit, for each of `FOLDS` folds.

    Args:
        owners: the prompt of each row, shape (rows,): all rows of one are in the same fold. With
            fewer than `FOLDS` prompts each is a fold.
    """
    from sklearn.model_selection import GroupKFold

    return list(GroupKFold(min(FOLDS, len(np.unique(owners)))).split(owners, groups=owners))


def out_of_fold_predictions(
    features: NDArray[Any],
    pass_at_1: NDArray[np.float64],
    prompts: NDArray[np.int64],
    make: Callable[[], Regressor],
) -> NDArray[np.float64]:
    """Predictions for every row by a predictor fitted on other prompts.

    Args:
        features: shape (rows, features).
        pass_at_1: shape (rows,).
        prompts: which prompt each row belongs to, shape (rows,).
        make: makes an unfitted predictor.

    Returns:
        Shape (rows,).
    """
    predictions = np.empty(len(pass_at_1))
    for train, held_out in folds(prompts):
        fitted = make().fit(features[train], pass_at_1[train])
        predictions[held_out] = fitted.predict(features[held_out])
    return predictions


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
