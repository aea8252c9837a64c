"""Fitting what more solutions gain, and what prices lead to (section 3, one prompt at a time)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.price import PriceList, PricePoint
from allocator.schedule import Ladder, goes_on
from calibration.replay.adaptive_run import Climbs
from predictors.gain_model import Prospects

FOLDS = 5
# From where nothing is worth a generation to where everything is.
PRICES = tuple(float(price) for price in np.geomspace(1e-5, 0.5, 40))


@dataclass(frozen=True)
class FittedProspects:
    """What a ladder promises.

    Attributes:
        prospects: fitted on every prompt.
        prices: the ladder, and what each price led to on prompts that the prospects had not seen.
    """

    prospects: Prospects
    prices: PriceList


def fit_prospects(climbed: Sequence[tuple[Ladder, Climbs]]) -> FittedProspects:
    """Fit prospects on the ladder that does best on prompts they had not seen.

    Best: the greatest accuracy on average over what can be spent, from one generation a prompt to
    eight, on a logarithmic scale.

    Args:
        climbed: ladders to choose among, each with its climbs of the same prompts.
    """
    found = []
    for ladder, climbs in climbed:
        gains = held_out_gains(ladder, climbs)
        prices = price_list(ladder, climbs, gains)
        found.append((_worth(prices), ladder, climbs, prices))
    _, ladder, climbs, prices = max(found, key=lambda entry: entry[0])
    flat = climbs.states.reshape(-1, *climbs.states.shape[2:])
    prospects = Prospects.fit(ladder, flat, climbs.correct.reshape(len(flat), -1))
    return FittedProspects(prospects, prices)


def held_out_gains(ladder: Ladder, climbs: Climbs) -> NDArray[np.float64]:
    """Gain of each rung over each, by prospects that never saw the prompt.

    Returns:
        Shape (prompts, replicates, rungs from, rungs to); 0 at and below a rung itself.
    """
    from sklearn.model_selection import GroupKFold

    prompts = len(climbs.states)
    gains = np.zeros((*climbs.correct.shape, len(ladder.rungs)))
    splits = GroupKFold(min(FOLDS, prompts)).split(np.arange(prompts), groups=np.arange(prompts))
    for train, held_out in splits:
        states = climbs.states[train].reshape(-1, *climbs.states.shape[2:])
        correct = climbs.correct[train].reshape(len(states), -1)
        fitted = Prospects.fit(ladder, states, correct)
        gains[held_out] = all_gains(fitted, ladder, climbs.states[held_out])
    return gains


def all_gains(
    prospects: Prospects, ladder: Ladder, states: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gain of each rung over each; see `held_out_gains`."""
    count = len(ladder.rungs)
    gains = np.zeros((*states.shape[:3], count))
    for rung in range(count - 1):
        flat = states[:, :, rung].reshape(-1, states.shape[-1])
        above = prospects.gains(ladder, rung, flat)
        gains[:, :, rung, rung + 1 :] = above.reshape(*states.shape[:2], -1)
    return gains


def stopped_at(ladder: Ladder, gains: NDArray[np.float64], price: float) -> NDArray[np.int64]:
    """The rung on which each climb ends at a price, shape (prompts, replicates)."""
    ends = np.full(gains.shape[:2], len(ladder.rungs) - 1)
    for rung in reversed(range(len(ladder.rungs) - 1)):
        on = goes_on(ladder.costs, rung, gains[:, :, rung, rung + 1 :], price)
        ends = np.where(on, ends, rung)
    return ends


def price_list(ladder: Ladder, climbs: Climbs, gains: NDArray[np.float64]) -> PriceList:
    """What each price leads to."""
    costs = np.array(ladder.costs, dtype=float)
    points = []
    for price in PRICES:
        ends = stopped_at(ladder, gains, price)
        right = np.take_along_axis(climbs.correct, ends[..., None], axis=2)
        points.append(
            PricePoint(
                price=price,
                generations=float(costs[ends].mean()),
                accuracy=float(right.mean()),
            )
        )
    return PriceList(ladder=ladder, points=tuple(points))


def _worth(prices: PriceList) -> float:
    spent = np.log([point.generations for point in prices.points])[::-1]
    right = np.array([point.accuracy for point in prices.points])[::-1]
    wanted = np.linspace(0, np.log(8), 16)
    return float(np.interp(wanted, np.maximum.accumulate(spent), right).mean())
