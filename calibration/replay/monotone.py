"""Curves of accuracy against cost, made monotone: what an accuracy costs, and the mean accuracy.

The first crossing of a noisy curve would be biased in the method's favour.
"""

import numpy as np
from numpy.typing import NDArray


def monotone(
    reached: NDArray[np.float64], costs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Costs in ascending order, and the monotone accuracies fitted to them; (points, draws) each.

    Isotonic regression of all draws at once, in closed form: at each point the greatest, over where
    a run of points may begin, of the least mean, over where it may end.
    """
    order = np.argsort(costs, axis=0, kind="stable")
    costs, reached = (np.take_along_axis(values, order, axis=0) for values in (costs, reached))
    fitted = np.full(reached.shape, -np.inf)
    for first in range(len(reached)):
        sizes = np.arange(1, len(reached) - first + 1)[:, None]
        means = np.cumsum(reached[first:], axis=0) / sizes
        least = np.minimum.accumulate(means[::-1], axis=0)[::-1]
        fitted[first:] = np.maximum(fitted[first:], least)
    return costs, fitted


def costs_at(
    costs: NDArray[np.float64], fitted: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The smallest costs at which the curves of `monotone` reach accuracies.

    Args:
        costs: shape (points, draws).
        fitted: shape (points, draws).
        wanted: shape (accuracies, draws).

    Returns:
        Shape (accuracies, draws); infinite where an accuracy is not reached.
    """
    draws = np.arange(costs.shape[1])
    above = (fitted >= wanted[:, None] - 1e-12).sum(axis=1)
    i = np.minimum(len(costs) - above, len(costs) - 1)
    below = np.maximum(i - 1, 0)
    rise = np.where(i > 0, fitted[i, draws] - fitted[below, draws], 1.0)
    share = np.where(i > 0, (wanted - fitted[below, draws]) / np.where(rise > 0, rise, 1.0), 0.0)
    found = costs[below, draws] + share * (costs[i, draws] - costs[below, draws])
    return np.where(above > 0, found, np.inf)


def mean_accuracy(
    reached: NDArray[np.float64], costs: NDArray[np.float64], low: float, high: float
) -> float:
    """Accuracy averaged over costs between two on a logarithmic scale, of the monotone curve.

    Args:
        reached: accuracy of each point, shape (points,).
        costs: cost of each point, positive.
        low: the least cost of the average.
        high: the greatest.
    """
    at, fitted = monotone(reached[:, None], costs[:, None])
    wanted = np.linspace(np.log(low), np.log(high), 32)
    return float(np.interp(wanted, np.log(at[:, 0]), fitted[:, 0]).mean())
