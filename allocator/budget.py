"""One total budget across many prompts, so that as many as possible are answered right.

Each prompt has a curve: the accuracy to expect at each cost it may be given. On the concave hulls
of the curves, spending wherever the next generation gains most is exact: no other way to share the
same total gains more (the paper's section 3, with the budget shared over prompts too).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.errors import InputError


@dataclass(frozen=True)
class Allocation:
    """How a total is shared.

    Attributes:
        options: number of the option that each prompt gets, shape (prompts,).
        spent: generations in all.
        price: accuracy gained by the last generation that was spent (the Lagrange multiplier).
    """

    options: NDArray[np.int64]
    spent: float
    price: float


@dataclass(frozen=True)
class _Segments:
    """Edges of the hulls, from the cheapest option of a prompt up; arrays of one length.

    Attributes:
        row: the prompt.
        option: the option it leads to.
        cost: what it costs more.
        slope: what it gains for each generation.
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
    """Choose an option for every prompt, for the most accuracy within a total.

    A hundred thousand prompts take well under a second.

    Args:
        costs: generations of each option, ascending, shape (options,).
        accuracies: accuracy to expect of each prompt at each option, shape (prompts, options).
        total: generations that all prompts together may cost.
        floors: the least each prompt is given, shape (prompts,) or one for all.
        ceilings: the most each prompt is given, likewise.

    Raises:
        InputError: shapes that do not fit, NaN, costs that do not ascend, a prompt without an
            option between its floor and its ceiling, or a total below the cheapest options' sum.
    """
    cost, gain = np.asarray(costs, dtype=float), np.asarray(accuracies, dtype=float)
    if cost.ndim != 1 or gain.ndim != 2 or gain.shape[1] != len(cost) or not len(cost):
        raise InputError("accuracies", gain.shape, f"give one row of {len(cost)} for every prompt")
    if np.any(np.isnan(gain)) or np.any(np.isnan(cost)) or np.any(np.diff(cost) < 0):
        raise InputError(
            "costs", cost.tolist(), "give ascending costs and accuracies, none of them NaN"
        )
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
    if not left >= -1e-9:  # NaN is no total either
        raise InputError(
            "total_budget", total, f"the cheapest options cost {least:g} in all; allow that"
        )
    segments = _hulls(cost, gain, allowed, chosen)
    taken = _greedy(segments, left)
    # Later edges of a prompt lead further up: the last one taken is where it ends.
    np.maximum.at(chosen, segments.row[taken], segments.option[taken])
    price = float(segments.slope[taken].min()) if len(taken) else 0.0
    return Allocation(chosen, float(cost[chosen].sum()), price)


def _limits(name: str, values: ArrayLike, prompts: int) -> NDArray[np.float64]:
    """Floors or ceilings, one of each prompt."""
    given = np.asarray(values, dtype=float)
    if given.shape not in ((), (prompts,)):
        raise InputError(name, given.shape, f"give one for all, or one each of {prompts} prompts")
    return np.broadcast_to(given, prompts)


def _cheapest(
    cost: NDArray[np.float64], gain: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Each prompt's cheapest option, of equally cheap ones the most accurate."""
    least = np.where(allowed, cost, np.inf).min(axis=1)
    first = allowed & (cost == least[:, None])
    return np.asarray(np.where(first, gain, -np.inf).argmax(axis=1), dtype=np.int64)


def _hulls(
    cost: NDArray[np.float64],
    gain: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    start: NDArray[np.int64],
) -> _Segments:
    """The rising edges of every prompt's concave hull: from each corner the steepest way up."""
    at, rows = start.copy(), np.arange(len(gain))
    last = np.full(len(gain), np.inf)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    steps: list[NDArray[np.float64]] = []
    while len(rows) or not found:
        more = cost - cost[at[rows], None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = (gain[rows] - gain[rows, at[rows], None]) / more
        slopes[(more <= 0) | ~allowed[rows]] = -np.inf
        to = slopes.argmax(axis=1)  # of equally steep ways the shortest: less is left over
        # A hull is concave; rounding must not put an edge before the one that it stands on.
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
    """The segments taken: steepest first while they fit, then those further down that still do."""
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
            closed.add(row)  # what lies further up a hull needs what lies below it
            continue
        extra.append(segment)
        left -= float(segments.cost[segment])
    return np.concatenate([taken, np.array(extra, dtype=np.int64)])
