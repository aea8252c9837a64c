"""A smooth model of what plans gain over best-of-N, for the choice of each bin's plan.

A bin has many plans and few prompts, so a plan's accuracy there says little by itself. Plans alike
in strategy, settings and cost do about as well, and so do neighbouring bins: a Gaussian process
of the advantage over best-of-N at equal cost shares their evidence. Where there is none, the
advantage is 0, and best-of-N is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from calibration.fitting.plan_selection import NEGLIGIBLE

Array = NDArray[np.float64]

# Spreads that advantages may have, in accuracy; each counts by how likely it makes the data.
SPREADS = (0.003, 0.01, 0.03, 0.1, 0.3)
# Distances at which evidence is shared to about 60%.
BINS, COST_DOUBLINGS, SETTING_DOUBLINGS = 1.5, 2.0, 1.5
# Correlation of the advantages of two strategies.
BETWEEN_STRATEGIES = 0.3


def by_advantage(
    plans: Sequence[Plan],
    correct: Array,
    costs: Array,
    prompts: NDArray[np.int64],
    bins: NDArray[np.int64],
    count: int,
) -> list[int]:
    """Each bin's plan: the cheapest within `NEGLIGIBLE` of the greatest modelled accuracy.

    Args:
        plans: the plans, best-of-N of several N among them.
        correct, costs, prompts, bins, count: as of `calibration.fitting.plan_selection.Rule`.
    """
    accuracy = modelled_accuracies(plans, correct, costs, prompts, bins, count)
    order = np.lexsort((-accuracy.mean(axis=1), costs))
    enough = accuracy[order] >= accuracy.max(axis=0) - NEGLIGIBLE
    return [int(order[place]) for place in enough.argmax(axis=0)]


def modelled_accuracies(
    plans: Sequence[Plan],
    correct: Array,
    costs: Array,
    prompts: NDArray[np.int64],
    bins: NDArray[np.int64],
    count: int,
) -> Array:
    """Accuracy of each plan in each bin, shape (plans, bins); 0 in a bin without entries.

    Best-of-N rises with N. The other plans' is that at equal cost, and their modelled advantage.

    Args:
        as of `by_advantage`.
    """
    plain = np.flatnonzero([plan.strategy == "best_of_n" for plan in plans])
    others = np.flatnonzero([plan.strategy != "best_of_n" for plan in plans])
    plain = plain[np.argsort(costs[plain], kind="stable")]
    weights = _between(costs[plain], costs)
    accuracy = np.zeros((len(plans), count))
    seen = []
    for b in np.unique(bins):
        inside = bins == b
        accuracy[:, b] = weights @ _rising(correct[plain][:, inside].mean(axis=1))
        paired = correct[others][:, inside] - weights[others] @ correct[plain][:, inside]
        seen.append(_Seen.of(int(b), paired, prompts[inside]))
    if len(others):
        gained = _advantages([plans[i] for i in others], costs[others], seen)
        for of_bin, advantage in zip(seen, gained, strict=True):
            accuracy[others, of_bin.number] += advantage
    return accuracy


@dataclass(frozen=True)
class _Seen:
    """What the prompts of a bin say of its plans' advantages.

    Attributes:
        number: the bin's.
        mean: of each plan, shape (plans,).
        noise: covariance of the means' errors, shape (plans, plans).
    """

    number: int
    mean: Array
    noise: Array

    @classmethod
    def of(cls, number: int, paired: Array, prompts: NDArray[np.int64]) -> "_Seen":
        """From advantages by entry, shape (plans, entries); prompts are the independent units."""
        units, unit, entries = np.unique(prompts, return_inverse=True, return_counts=True)
        means = np.array([np.bincount(unit, line) for line in paired]) / entries
        spread = means - means.mean(axis=1, keepdims=True)
        # A prompt more than there is, as accurate as chance has it: no plan is known for certain.
        noise = (spread @ spread.T + 0.25 * np.eye(len(paired))) / len(units) ** 2
        return cls(number, means.mean(axis=1), noise)


def _advantages(plans: Sequence[Plan], costs: Array, seen: Sequence[_Seen]) -> Array:
    """The advantages' posterior means, averaged over `SPREADS`; shape (bins, plans)."""
    from scipy.linalg import block_diag, cho_factor, cho_solve

    numbers = np.array([of_bin.number for of_bin in seen], dtype=float)
    kernel = np.kron(_alike(numbers, BINS), _plans_alike(plans, costs))
    mean = np.concatenate([of_bin.mean for of_bin in seen])
    noise = block_diag(*(of_bin.noise for of_bin in seen))
    logs, found = [], []
    for spread in SPREADS:
        factor = cho_factor(spread**2 * kernel + noise, lower=True)
        weighted = cho_solve(factor, mean)
        logs.append(-0.5 * mean @ weighted - np.log(np.diag(factor[0])).sum())
        found.append(spread**2 * kernel @ weighted)
    likely = np.exp(np.array(logs) - max(logs))
    averaged = (likely[:, None] * np.array(found)).sum(axis=0) / likely.sum()
    return np.asarray(averaged.reshape(len(seen), len(plans)))


def _plans_alike(plans: Sequence[Plan], costs: Array) -> Array:
    """Correlations of the plans' advantages, shape (plans, plans)."""
    names = np.array([plan.strategy for plan in plans])
    same = np.where(names[:, None] == names, 1.0, BETWEEN_STRATEGIES)
    alike = same * _alike(np.log2(costs), COST_DOUBLINGS)
    for settings in (
        [plan.beam_width for plan in plans],
        [plan.length for plan in plans],
        [plan.lookahead for plan in plans],
    ):
        alike *= _alike(np.log2(np.array(settings, dtype=float) + 1), SETTING_DOUBLINGS)
    return np.asarray(alike)


def _alike(places: Array, distance: float) -> Array:
    """Squared-exponential correlations of places on a line, shape (places, places)."""
    return np.asarray(np.exp(-0.5 * ((places[:, None] - places) / distance) ** 2))


def _between(known: Array, wanted: Array) -> Array:
    """Weights of values at known costs, ascending, that give those at wanted costs.

    Linear in the logarithm of the cost; beyond the known ones, the nearest. Shape (wanted, known).
    """
    weights = [np.interp(np.log(wanted), np.log(known), row) for row in np.eye(len(known))]
    return np.array(weights).T


def _rising(accuracies: Array) -> Array:
    """The closest accuracies that rise with cost."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(accuracies).x)
