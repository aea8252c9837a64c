"""Rules that choose the plan of each bin, and their accuracy on held-out prompts.

Each row of a table uses the one of three rules with the greatest held-out accuracy. Tables in
generations have `calibration.fitting.advantage.by_advantage` in place of `greatest`: it takes plans
alike in strategy, settings and cost to do about as well.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.fitting.crossval import cheapest_not_clearly_worse, fold_of

ALIKE = 0.001  # differences in accuracy that `cheapest_within` ignores
# Divisions into two folds, over which held-out figures are averaged.
FOLD_SEEDS = range(5)

# (correct (plans, entries), costs (plans,), prompts (entries,), bins (entries,), number of bins)
# -> index of the plan of each bin; arbitrary for a bin without entries.
Rule = Callable[
    [NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], int], list[int]
]


def by_bin(
    correct: NDArray[np.float64],
    costs: NDArray[np.float64],
    prompts: NDArray[np.int64],
    bins: NDArray[np.int64],
    count: int,
) -> list[int]:
    """Each bin's plan by the bin's own prompts alone."""
    return [
        cheapest_not_clearly_worse(correct[:, inside], costs, prompts[inside])
        if np.any(inside := bins == b)
        else 0
        for b in range(count)
    ]


def smoothed(
    correct: NDArray[np.float64],
    costs: NDArray[np.float64],
    prompts: NDArray[np.int64],
    bins: NDArray[np.int64],
    count: int,
) -> list[int]:
    """Each bin's plan by accuracies that are smoothed over neighbouring bins and monotone.

    Monotone: a plan's accuracy falls with difficulty. Differences are tested on the neighbouring
    bins' prompts too.
    """
    monotone = smoothed_accuracies(correct, bins, count)
    chosen = []
    for b in range(count):
        near = np.abs(bins - b) <= 1
        chosen.append(
            cheapest_not_clearly_worse(correct[:, near], costs, prompts[near], monotone[:, b])
            if np.any(near)
            else 0
        )
    return chosen


def greatest(
    correct: NDArray[np.float64],
    costs: NDArray[np.float64],
    prompts: NDArray[np.int64],
    bins: NDArray[np.int64],
    count: int,
) -> list[int]:
    """The cheapest plan with a smoothed accuracy within `ALIKE` of the bin's greatest.

    Differences are not tested, so this rule spends more than the others. It does best where a
    larger budget gains a little in every bin.
    """
    return cheapest_within(smoothed_accuracies(correct, bins, count), costs)


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


def smoothed_accuracies(
    correct: NDArray[np.float64], bins: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Accuracy of each plan in each bin, smoothed over neighbouring bins, falling with difficulty.

    For the choice among plans of one bin: accuracies themselves are smeared where bins differ.

    Args:
        correct: shape (plans, entries).
        bins: the bin of each entry, shape (entries,).
        count: number of bins.

    Returns:
        Shape (plans, bins).
    """
    return _falling(_neighbours_means(correct, bins, count), bins)


def bin_accuracies(
    correct: NDArray[np.float64], bins: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Accuracy of each plan in each bin, falling with difficulty.

    It is the mean over all plans in the bin, and the plan's difference from it. Only differences
    are smoothed over neighbouring bins: they are small, but which plan is best depends on them.

    Args:
        as of `smoothed_accuracies`.

    Returns:
        Shape (plans, bins).
    """
    level = correct.mean(axis=0)
    held = np.bincount(bins, minlength=count)
    of_bin = np.bincount(bins, level, minlength=count) / np.maximum(held, 1)
    return _falling(of_bin + _neighbours_means(correct - level, bins, count), bins)


def _neighbours_means(
    values: NDArray[np.float64], bins: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Means over each bin and its neighbours, whose entries count half; shape (lines, bins)."""
    kernel = np.array([1.0, 2.0, 1.0])
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


def held_out_choices(
    prompts: NDArray[np.int64],
    bins: NDArray[np.int64],
    choose: Callable[[NDArray[np.bool_]], Sequence[int]],
) -> Iterator[NDArray[np.int64]]:
    """The plan of each entry, chosen on the fold that it is not in; for each of several divisions.

    The paper's two-fold cross-validation (section 3.2).

    Args:
        prompts: which prompt each entry belongs to, shape (entries,).
        bins: the bin of each entry, shape (entries,).
        choose: gives the index of each bin's plan, chosen on the entries of a mask.
    """
    for seed in FOLD_SEEDS:
        choices, folds = np.empty(len(prompts), dtype=np.int64), fold_of(prompts, seed)
        for fold in (0, 1):
            inside = folds == fold
            # With a single prompt the other fold is empty: its own is used.
            on = ~inside if np.any(~inside) else inside
            choices[inside] = np.array(choose(on))[bins[inside]]
        yield choices


def held_out_figures(
    correct: NDArray[np.float64],
    costs: NDArray[np.float64],
    tokens: NDArray[np.float64],
    flops: NDArray[np.float64],
    prompts: NDArray[np.int64],
    bins: NDArray[np.int64],
    count: int,
    rule: Rule,
) -> NDArray[np.float64]:
    """Held-out figures of each entry, averaged over the divisions of `held_out_choices`.

    Args:
        correct: shape (plans, entries); an entry is one replicate of a prompt.
        costs: generations of each plan, shape (plans,).
        tokens: shape (plans, entries).
        flops: likewise.
        prompts: which prompt each entry belongs to, shape (entries,).
        bins: the bin of each entry, shape (entries,).
        count: number of bins.
        rule: chooses the plans.

    Returns:
        Accuracy, generations, tokens and FLOPs, shape (4, entries).
    """

    def choose(on: NDArray[np.bool_]) -> list[int]:
        return rule(correct[:, on], costs, prompts[on], bins[on], count)

    entries = np.arange(len(prompts))
    found = [
        [
            correct[choices, entries],
            costs[choices],
            tokens[choices, entries],
            flops[choices, entries],
        ]
        for choices in held_out_choices(prompts, bins, choose)
    ]
    return np.asarray(np.mean(found, axis=0))
