"""Rules that choose the plan of each bin, and their accuracy on held-out prompts.

Each row of a table uses the one of three rules with the greatest held-out accuracy. Tables in
generations have `calibration.fitting.advantage.by_advantage` in place of `greatest`: it takes plans
alike in strategy, settings and cost to do about as well.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calibration.fitting.binned import BinnedOutcomes, Figures
from calibration.fitting.crossval import cheapest_not_clearly_worse, fold_of

ALIKE = 0.001  # differences in accuracy that `cheapest_within` ignores
# Divisions into two folds, over which held-out figures are averaged.
FOLD_SEEDS = range(5)

# The index of each bin's plan; arbitrary for a bin without entries.
Rule = Callable[[BinnedOutcomes], list[int]]


def by_bin(binned: BinnedOutcomes) -> list[int]:
    """Each bin's plan by the bin's own prompts alone."""
    return [
        cheapest_not_clearly_worse(binned.correct[:, inside], binned.costs, binned.prompts[inside])
        if np.any(inside := binned.bins == b)
        else 0
        for b in range(binned.n_bins)
    ]


def smoothed(binned: BinnedOutcomes) -> list[int]:
    """Each bin's plan by accuracies that are smoothed over neighbouring bins and monotone.

    Monotone: a plan's accuracy falls with difficulty. Differences are tested on the neighbouring
    bins' prompts too.
    """
    monotone = smoothed_accuracies(binned)
    chosen = []
    for b in range(binned.n_bins):
        near = np.abs(binned.bins - b) <= 1
        correct, prompts = binned.correct[:, near], binned.prompts[near]
        chosen.append(
            cheapest_not_clearly_worse(correct, binned.costs, prompts, monotone[:, b])
            if np.any(near)
            else 0
        )
    return chosen


def greatest(binned: BinnedOutcomes) -> list[int]:
    """The cheapest plan with a smoothed accuracy within `ALIKE` of the bin's greatest.

    Differences are not tested, so this rule spends more than the others. It does best where a
    larger budget gains a little in every bin.
    """
    return cheapest_within(smoothed_accuracies(binned), binned.costs)


def cheapest_within(
    accuracy: NDArray[np.float64], costs: NDArray[np.float64], negligible: float = ALIKE
) -> list[int]:
    """The cheapest plan of each bin close to its greatest accuracy.

    Args:
        accuracy: estimated, shape (plans, bins).
        costs: generations of each plan, shape (plans,).
        negligible: differences in accuracy that are ignored.
    """
    order = np.lexsort((-accuracy.mean(axis=1), costs))
    enough = accuracy[order] >= accuracy.max(axis=0) - negligible
    return [int(order[place]) for place in enough.argmax(axis=0)]


def smoothed_accuracies(binned: BinnedOutcomes) -> NDArray[np.float64]:
    """Accuracy of each plan in each bin, smoothed over neighbouring bins, falling with difficulty.

    For the choice among plans of one bin: accuracies themselves are smeared where bins differ.

    Returns:
        Shape (plans, bins).
    """
    return _falling(_neighbours_means(binned.correct, binned), binned.bins)


def bin_accuracies(binned: BinnedOutcomes) -> NDArray[np.float64]:
    """Accuracy of each plan in each bin, falling with difficulty.

    It is the mean over all plans in the bin, and the plan's difference from it. Only differences
    are smoothed over neighbouring bins: they are small, but which plan is best depends on them.

    Returns:
        Shape (plans, bins).
    """
    bins, level = binned.bins, binned.correct.mean(axis=0)
    held = np.bincount(bins, minlength=binned.n_bins)
    of_bin = np.bincount(bins, level, minlength=binned.n_bins) / np.maximum(held, 1)
    return _falling(of_bin + _neighbours_means(binned.correct - level, binned), bins)


def _neighbours_means(values: NDArray[np.float64], binned: BinnedOutcomes) -> NDArray[np.float64]:
    """Means over each bin and its neighbours, whose entries count half; shape (lines, bins)."""
    bins, count, kernel = binned.bins, binned.n_bins, np.array([1.0, 2.0, 1.0])
    weights = np.convolve(np.bincount(bins, minlength=count), kernel)[1:-1]
    sums = [np.bincount(bins, line, minlength=count) for line in values]
    spread = np.array([np.convolve(line, kernel)[1:-1] for line in sums])
    return np.asarray(spread / np.maximum(weights, 1e-9))


def _falling(accuracy: NDArray[np.float64], bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The nearest accuracies that fall from bin to bin, shape (plans, bins)."""
    from scipy.optimize import isotonic_regression

    held = np.maximum(np.bincount(bins, minlength=accuracy.shape[1]), 1e-9)
    return np.array(
        [isotonic_regression(line, weights=held, increasing=False).x for line in accuracy]
    )


def held_out_figures(binned: BinnedOutcomes, rule: Rule) -> Figures:
    """Figures of each entry, whose plan the rule chooses on the fold that the entry is not in.

    The paper's two-fold cross-validation (section 3.2), averaged over several divisions.
    """
    found = []
    for seed in FOLD_SEEDS:
        folds = fold_of(binned.prompts, seed)
        chosen = np.empty(len(folds), dtype=np.int64)
        for fold in (0, 1):
            inside = folds == fold
            # With a single prompt the other fold is empty: its own is used.
            others = ~inside if np.any(~inside) else inside
            choices = np.array(rule(binned.take_entries(others)))
            chosen[inside] = choices[binned.bins[inside]]
        found.append(binned.figures(chosen))
    return Figures(*np.mean(found, axis=0))
