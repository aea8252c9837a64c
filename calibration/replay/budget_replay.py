"""One budget over many prompts, and prompts that end early, replayed on climbs (section 3)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Ladder, share_out
from calibration.fitting.gain_model import PRICES, stopped_at
from calibration.replay.adaptive_run import Climbs
from calibration.replay.curves import Curve, averaged
from calibration.replay.replay import Outcome


def at_prices(name: str, ladder: Ladder, climbs: Climbs, gains: NDArray[np.float64]) -> Curve:
    """Every prompt for itself at a price, one point a price; see `solve_at_price`."""
    ends = [stopped_at(ladder, gains, price) for price in PRICES]
    return ended(name, ladder, climbs, ends)


def shared_out(
    name: str,
    ladder: Ladder,
    climbs: Climbs,
    gains: NDArray[np.float64],
    averages: Sequence[float],
) -> Curve:
    """One budget over all prompts of a replicate, shared out anew after every rung.

    Args:
        name: of the curve.
        ladder: what prompts climb.
        climbs: their climbs.
        gains: of each rung over each, shape (prompts, replicates, rungs, rungs).
        averages: budgets, in generations a prompt on average; one point each.
    """
    ends = []
    for average in averages:
        stops = np.zeros((len(climbs.correct), climbs.correct.shape[1]), dtype=np.int64)
        for replicate in range(stops.shape[1]):
            stops[:, replicate] = _shared(ladder, gains[:, replicate], average * len(stops))
        ends.append(stops)
    return ended(name, ladder, climbs, ends)


def _shared(ladder: Ladder, gains: NDArray[np.float64], total: float) -> NDArray[np.int64]:
    costs, rows = np.array(ladder.costs, dtype=float), np.arange(len(gains))
    rungs = np.zeros(len(gains), dtype=np.int64)
    while True:
        left = total - float(costs[rungs].sum())
        rising = share_out(costs, rungs, gains[rows, rungs], left)
        if not rising.any():
            return rungs
        rungs[rising] += 1


def ended(name: str, ladder: Ladder, climbs: Climbs, ends: Sequence[NDArray[np.int64]]) -> Curve:
    """A curve of climbs that end on given rungs."""
    costs = np.array(ladder.costs, dtype=float)
    outcomes = [
        Outcome(
            np.take_along_axis(climbs.correct, stops[..., None], axis=2)[..., 0],
            np.take_along_axis(climbs.tokens, stops[..., None], axis=2)[..., 0],
        )
        for stops in ends
    ]
    return averaged(name, range(len(ends)), outcomes, [costs[stops] for stops in ends])
