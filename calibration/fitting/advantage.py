"""A smooth model of plans' accuracies, for the choice of each bin's plan.

A bin has many plans and few prompts, so a plan's accuracy there says little by itself. Plans alike
in strategy, settings and cost do about as well, and so do neighbouring bins: a Gaussian process
shares their evidence. Accuracy is the bin's level, a trend with cost that all plans have in common,
and what a strategy gains over best-of-N at equal cost. Where nothing speaks for a gain it is 0, and
best-of-N is chosen.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from calibration.fitting.binned import BinnedOutcomes
from calibration.fitting.plan_selection import cheapest_within

Array = NDArray[np.float64]

# Spreads of accuracy, as standard deviations: of bins' levels, and of the trend with cost.
LEVEL, TREND = 0.3, 0.15
# Those that gains over best-of-N may have; each counts by how likely it makes what was seen.
GAINS = (0.003, 0.01, 0.03, 0.1, 0.3)
# Distances at which evidence is shared to about 60%.
BINS, COST_DOUBLINGS, SETTING_DOUBLINGS = 1.5, 2.0, 1.5
# Correlation of the gains of two strategies.
BETWEEN_STRATEGIES = 0.3


def by_advantage(binned: BinnedOutcomes) -> list[int]:
    """Each bin's plan: `cheapest_within` of the modelled accuracies."""
    return cheapest_within(modelled_accuracies(binned), binned.costs)


def modelled_accuracies(binned: BinnedOutcomes) -> Array:
    """Accuracy of each plan in each bin, shape (plans, bins); 0 in a bin without entries.

    The posterior mean, averaged over `GAINS`; best-of-N, which is among the plans for several N,
    rises with N.
    """
    from scipy.linalg import block_diag, cho_factor, cho_solve

    plans, costs, correct, bins = binned.plans, binned.costs, binned.correct, binned.bins
    held = np.unique(bins)
    seen = [_means(correct[:, bins == b], binned.prompts[bins == b]) for b in held]
    middle = float(correct.mean())
    mean = np.concatenate([means for means, _ in seen]) - middle
    noise = block_diag(*(errors for _, errors in seen))
    near, by_cost = _alike(held.astype(float), BINS), _alike(np.log2(costs), COST_DOUBLINGS)
    level = np.kron(LEVEL**2 * near, np.ones((len(plans), len(plans))))
    trend = np.kron(TREND**2 * near, by_cost)
    gain = np.kron(near, _gains_alike(plans) * by_cost)
    logs, found = [], []
    for spread in GAINS:
        kernel = level + trend + spread**2 * gain
        factor = cho_factor(kernel + noise, lower=True)
        weighted = cho_solve(factor, mean)
        logs.append(-0.5 * mean @ weighted - np.log(np.diag(factor[0])).sum())
        found.append(kernel @ weighted)
    likely = np.exp(np.array(logs) - max(logs))
    averaged = middle + (likely[:, None] * np.array(found)).sum(axis=0) / likely.sum()
    accuracy = np.zeros((len(plans), binned.n_bins))
    accuracy[:, held] = averaged.reshape(len(held), len(plans)).T
    return _rising(plans, costs, accuracy)


def _means(correct: Array, prompts: NDArray[np.int64]) -> tuple[Array, Array]:
    """Accuracy of each plan in one bin, shape (plans,), and the covariance of their errors.

    Prompts are the independent units, and weigh by their entries in the bin. Equal prompts leave no
    doubt only because they are few: one more, right or wrong as chance has it, keeps any plan from
    being known for certain.
    """
    _, unit, entries = np.unique(prompts, return_inverse=True, return_counts=True)
    share = entries / len(prompts)
    means = np.array([np.bincount(unit, line) for line in correct]) / entries
    mean = means @ share
    apart = (means - mean[:, None]) * share
    # The sum of squared shares is one over the effective number of prompts.
    errors = apart @ apart.T + 0.25 * (share @ share) ** 2 * np.eye(len(correct))
    return mean, errors


def _gains_alike(plans: Sequence[Plan]) -> Array:
    """Correlations of the plans' gains over best-of-N, shape (plans, plans); its own are none."""
    names = np.array([plan.strategy for plan in plans])
    alike = np.where(names[:, None] == names, 1.0, BETWEEN_STRATEGIES)
    for settings in (
        [plan.beam_width for plan in plans],
        [plan.length for plan in plans],
        [plan.lookahead for plan in plans],
    ):
        alike *= _alike(np.log2(np.array(settings, dtype=float) + 1), SETTING_DOUBLINGS)
    gaining = (names != "best_of_n").astype(float)
    return np.asarray(alike * np.outer(gaining, gaining))


def _alike(places: Array, distance: float) -> Array:
    """Squared-exponential correlations of places on a line, shape (places, places)."""
    return np.asarray(np.exp(-0.5 * ((places[:, None] - places) / distance) ** 2))


def _rising(plans: Sequence[Plan], costs: Array, accuracy: Array) -> Array:
    """The accuracies, shape (plans, bins), best-of-N's made to rise with N."""
    from scipy.optimize import isotonic_regression

    plain = np.flatnonzero([plan.strategy == "best_of_n" for plan in plans])
    plain = plain[np.argsort(costs[plain], kind="stable")]
    made = accuracy.copy()
    for b in range(accuracy.shape[1]):
        made[plain, b] = isotonic_regression(accuracy[plain, b]).x
    return made
