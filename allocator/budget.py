"""Allocation of one total budget over many prompts, for the greatest expected accuracy.

Each prompt has a curve: its expected accuracy at each cost. On the concave hulls of the curves the
greedy allocation, which always spends where the next generation gains most, is optimal (the paper's
section 3, with one budget for all prompts).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.errors import InputError


@dataclass(frozen=True)
class Allocation:
    """How a total is allocated.

    Attributes:
        options: index of each prompt's option, shape (prompts,).
        spent: generations in total.
        price: accuracy per generation of the last segment taken (the Lagrange multiplier).
    """

    options: NDArray[np.int64]
    spent: float
    price: float


@dataclass(frozen=True)
class _Segments:
    """Segments of the hulls, from each prompt's cheapest option up; arrays of one length.

    Attributes:
        row: the prompt.
        option: the option at the segment's end.
        cost: generations that it adds.
        slope: accuracy that it gains per generation.
    """

    row: NDArray[np.int64]
    option: NDArray[np.int64]
    cost: NDArray[np.float64]
    slope: NDArray[np.float64]


def allocate(
    costs: ArrayLike,
    accuracies: ArrayLike,
    total: float,
    floors: ArrayLike | None = None,
    ceilings: ArrayLike | None = None,
) -> Allocation:
    """Choose an option for every prompt, for the greatest sum of accuracies within a total.

    Options are corners of the curves' concave hulls, so that the sum is within one segment of the
    greatest: what is left of the total is less than any prompt's next corner costs, and may be
    enough for an option below a hull. Takes well under a second for a hundred thousand prompts.

    Args:
        costs: generations of each option, ascending, shape (options,).
        accuracies: expected accuracy of each prompt at each option, shape (prompts, options).
        total: generations that all prompts together may cost.
        floors: minimum cost of each prompt, shape (prompts,) or one for all.
        ceilings: maximum cost of each prompt, likewise.

    Raises:
        InputError: shapes that do not fit, NaN, costs that do not ascend, a prompt without an
            option between its floor and its ceiling, or a total below the cheapest options' sum.
    """
    cost, gain = np.asarray(costs, dtype=float), np.asarray(accuracies, dtype=float)
    if cost.ndim != 1 or gain.ndim != 2 or gain.shape[1] != len(cost) or not len(cost):
        raise InputError("accuracies", gain.shape, f"must be {len(cost)} options per prompt")
    if np.any(undefined := np.isnan(gain).any(axis=1)):
        bad = int(np.flatnonzero(undefined)[0])
        raise InputError("accuracies", gain[bad].tolist(), f"prompt {bad} has NaN")
    if np.any(np.isnan(cost)) or np.any(np.diff(cost) < 0):
        raise InputError("costs", cost.tolist(), "must ascend, and must not be NaN")
    low = _limits("floors", 0.0 if floors is None else floors, len(gain))
    high = _limits("ceilings", np.inf if ceilings is None else ceilings, len(gain))
    allowed = (cost >= low[:, None]) & (cost <= high[:, None])
    if not np.all(allowed.any(axis=1)):
        bad = int(np.flatnonzero(~allowed.any(axis=1))[0])
        raise InputError(
            "floors",
            (float(low[bad]), float(high[bad])),
            f"prompt {bad} has no option between its floor and its ceiling; costs are "
            f"{cost.tolist()}",
        )
    chosen = _cheapest(cost, gain, allowed)
    least = float(cost[chosen].sum())
    left = total - least
    if not left >= -1e-9:  # also refuses NaN
        raise InputError(
            "total", total, f"must be at least {least:g}, the cost of the cheapest options"
        )
    segments = _hulls(cost, gain, allowed, chosen)
    taken = _greedy(segments, left)
    # Of the segments taken for a prompt, the last ends at the greatest option.
    np.maximum.at(chosen, segments.row[taken], segments.option[taken])
    price = float(segments.slope[taken].min()) if len(taken) else 0.0
    return Allocation(chosen, float(cost[chosen].sum()), price)


def _limits(name: str, values: ArrayLike, prompts: int) -> NDArray[np.float64]:
    """Floors or ceilings, shape (prompts,)."""
    given = np.asarray(values, dtype=float)
    if given.shape not in ((), (prompts,)):
        raise InputError(name, given.shape, f"must be one value or {prompts}, one per prompt")
    return np.broadcast_to(given, prompts)


def _cheapest(
    cost: NDArray[np.float64], gain: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Each prompt's cheapest option, of equally cheap ones the most accurate; (prompts,)."""
    least = np.where(allowed, cost, np.inf).min(axis=1)
    first = allowed & (cost == least[:, None])
    return np.asarray(np.where(first, gain, -np.inf).argmax(axis=1), dtype=np.int64)


def _hulls(
    cost: NDArray[np.float64],
    gain: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    start: NDArray[np.int64],
) -> _Segments:
    """The rising segments of every prompt's concave hull, found from corner to corner."""
    at, rows = start.copy(), np.arange(len(gain))
    last = np.full(len(gain), np.inf)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    steps: list[NDArray[np.float64]] = []
    while len(rows) or not found:
        more = cost - cost[at[rows], None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = (gain[rows] - gain[rows, at[rows], None]) / more
        slopes[(more <= 0) | ~allowed[rows]] = -np.inf
        to = slopes.argmax(axis=1)  # of equal slopes the shortest: less is left over
        # Slopes must not rise by rounding: a segment would be sorted before the one below it.
        steepest = np.minimum(slopes[np.arange(len(rows)), to], last[rows])
        rising = steepest > 0
        rows, to, steepest = rows[rising], to[rising], steepest[rising]
        found.append((rows, to, steepest))
        steps.append(cost[to] - cost[at[rows]])
        at[rows], last[rows] = to, steepest
    return _Segments(
        np.concatenate([row for row, _, _ in found]),
        np.concatenate([to for _, to, _ in found]),
        np.concatenate(steps),
        np.concatenate([slope for _, _, slope in found]),
    )


def _greedy(segments: _Segments, left: float) -> NDArray[np.int64]:
    """The segments taken: by falling slope while they fit, then smaller ones that still fit."""
    order = np.argsort(-segments.slope, kind="stable")
    costs = segments.cost[order]
    count = int(np.searchsorted(np.cumsum(costs), left + 1e-9, side="right"))
    taken, rest = order[:count], order[count:]
    left -= float(costs[:count].sum())
    extra: list[int] = []
    closed: set[int] = set()
    least = np.minimum.accumulate(segments.cost[rest][::-1])[::-1]
    for place, segment in enumerate(rest.tolist()):
        if left + 1e-9 < least[place]:
            break
        row = int(segments.row[segment])
        if row in closed or segments.cost[segment] > left + 1e-9:
            closed.add(row)  # a segment needs the segments below it on the same hull
            continue
        extra.append(segment)
        left -= float(segments.cost[segment])
    return np.concatenate([taken, np.array(extra, dtype=np.int64)])
