"""What each way to spend saves over best-of-N, and the greatest of the savings."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.replay.curve_summary import Unit
from calibration.replay.curves import Curve, gain, resamples
from calibration.replay.ways import Way
from calibration.report.summary import CostGain, Gain


def savings(best_of_n: Curve, by_way: Mapping[Way, Curve]) -> tuple[Gain, ...]:
    """The saving of each way at one accuracy: the highest of best-of-N that any of them reaches.

    Accuracies of the baseline's budgets are considered, to the tenth of a point that is shown: of
    budgets alike in it, the smallest is what best-of-N needs. At the largest budget a way that
    spends all of it is best-of-N itself: if no way saves anything there, to the decimal that is
    shown, the next accuracy counts.

    Args:
        best_of_n: the baseline.
        by_way: the ways to spend, on the same prompts.

    Returns:
        Of the ways that reach the accuracy, in the order given; empty if none reaches any.
    """
    draws, largest = resamples(best_of_n.correct.shape[1]), max(best_of_n.budgets)
    tie: tuple[Gain, ...] = ()
    for row in np.argsort(-best_of_n.correct.mean(1).round(3), kind="stable"):
        budget = best_of_n.budgets[int(row)]
        each = [_saving(best_of_n, budget, curve, way, draws) for way, curve in by_way.items()]
        found = tuple(gain for gain in each if gain is not None)
        if not found:
            continue
        if budget < largest or max(round(gain.times, 1) for gain in found) != 1:
            return found
        tie = found
    return tie


def _saving(
    best_of_n: Curve, budget: float, curve: Curve, way: Way, draws: NDArray[np.int64]
) -> Gain | None:
    """The saving at the accuracy of one of the baseline's budgets; None if it is not reached."""
    times, low, high = gain(best_of_n, budget, curve, draws)
    if not times:
        return None
    row = best_of_n.budgets.index(budget)
    spent = float(best_of_n.generations[row].mean())
    return Gain(
        way=way,
        accuracy=float(best_of_n.correct[row].mean()),
        generations=spent / times,
        baseline=spent,
        times=times,
        low=low,
        high=high,
        tokens=_cost_saving(best_of_n, budget, curve, draws, "tokens"),
        flops=_cost_saving(best_of_n, budget, curve, draws, "flops"),
    )


def _cost_saving(
    best_of_n: Curve, budget: float, curve: Curve, draws: NDArray[np.int64], unit: Unit
) -> CostGain | None:
    if unit not in best_of_n.units:
        return None
    times, low, high = gain(best_of_n, budget, curve, draws, unit)
    if not times:  # ordered by this cost, the curve may end below the accuracy
        return None
    spent = float(getattr(best_of_n, unit)[best_of_n.budgets.index(budget)].mean())
    return CostGain(spent=spent / times, baseline=spent, times=times, low=low, high=high)


def greatest(gains: Sequence[Gain]) -> Gain | None:
    """The greatest saving in generations, to the one decimal that is shown; of equal ones the
    first. None if there is none.
    """
    return max(gains, key=lambda gain: round(gain.times, 1), default=None)
