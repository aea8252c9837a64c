"""What each way to spend saves over best-of-N, and the largest of the savings."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.replay.curve_summary import Unit
from calibration.replay.curves import Curve, resamples, saving_factor
from calibration.replay.ways import Way
from calibration.report.summary import CostSaving, Saving

# Smallest gain in accuracy that counts.
NOTABLE = 0.01
# Share of a way's gain over one solution that a baseline of little use gains at most.
HARDLY = 0.25


def is_beyond(one: float, most: float, reached: float) -> bool:
    """Whether a way is beyond what a baseline reaches.

    That is, where more solutions hardly help the baseline: what the way saves at its accuracy says
    little of what the way is good for.

    Args:
        one: accuracy of one solution.
        most: the greatest accuracy of the baseline.
        reached: that of the way.
    """
    return reached - most > NOTABLE and most - one <= HARDLY * (reached - one)


def savings(
    best_of_n: Curve, by_way: Mapping[Way, Curve], n_jobs: int | None
) -> tuple[Saving, ...]:
    """The saving of each way at one accuracy: the highest of best-of-N that any of them reaches.

    Accuracies of the baseline's budgets are considered, to the tenth of a point that is shown: of
    budgets alike in it, the smallest is what best-of-N needs. At the largest budget a way that
    spends all of it is best-of-N itself: if no way saves anything there, to the decimal that is
    shown, the next accuracy counts. What one solution reaches counts for nothing, for nothing is
    cheaper, and neither does anything where a way is beyond the baseline; see `is_beyond`.

    Args:
        best_of_n: the baseline.
        by_way: the ways to spend, on the same prompts.
        n_jobs: see `calibration.replay.parallel`.

    Returns:
        Of the ways that reach the accuracy, in the order given; empty if none reaches any.
    """
    accuracies = best_of_n.correct.mean(1)
    reached = max((curve.correct.mean(1).max() for curve in by_way.values()), default=0.0)
    if best_of_n.budgets[0] == 1 and is_beyond(accuracies[0], accuracies.max(), reached):
        return ()
    draws, largest = resamples(best_of_n.correct.shape[1]), max(best_of_n.budgets)
    tie: tuple[Saving, ...] = ()
    for row in np.argsort(-accuracies.round(3), kind="stable"):
        budget = best_of_n.budgets[int(row)]
        if budget <= 1:  # what follows is less accurate than one solution
            break
        of_ways = [
            _saving(best_of_n, budget, curve, way, draws, n_jobs) for way, curve in by_way.items()
        ]
        found = tuple(saving for saving in of_ways if saving is not None)
        if not found:
            continue
        if budget < largest or max(round(saving.times, 1) for saving in found) != 1:
            return found
        tie = found
    return tie


def _saving(
    best_of_n: Curve,
    budget: float,
    curve: Curve,
    way: Way,
    draws: NDArray[np.int64],
    n_jobs: int | None,
) -> Saving | None:
    """The saving at the accuracy of one of the baseline's budgets; None if it is not reached."""
    in_generations = _saving_in("generations", best_of_n, budget, curve, draws, n_jobs)
    if in_generations is None:
        return None
    return Saving(
        way=way,
        accuracy=float(best_of_n.correct[best_of_n.budgets.index(budget)].mean()),
        generations=in_generations.spent,
        baseline=in_generations.baseline,
        times=in_generations.times,
        low=in_generations.low,
        high=in_generations.high,
        tokens=_saving_in("tokens", best_of_n, budget, curve, draws, n_jobs),
        flops=_saving_in("flops", best_of_n, budget, curve, draws, n_jobs),
    )


def _saving_in(
    unit: Unit,
    best_of_n: Curve,
    budget: float,
    curve: Curve,
    draws: NDArray[np.int64],
    n_jobs: int | None,
) -> CostSaving | None:
    """The saving in one unit; None if it was not counted, or the accuracy is not reached."""
    if unit not in best_of_n.units:
        return None
    times, low, high = saving_factor(best_of_n, budget, curve, draws, unit, n_jobs)
    # In order of tokens or FLOPs, a curve may end below what it reaches in order of generations.
    if not times:
        return None
    spent = float(getattr(best_of_n, unit)[best_of_n.budgets.index(budget)].mean())
    return CostSaving(spent=spent / times, baseline=spent, times=times, low=low, high=high)


def largest_saving(saved: Sequence[Saving]) -> Saving | None:
    """The largest saving in generations, to the one decimal that is shown; of equal ones the
    first. None if there is none.
    """
    return max(saved, key=lambda each: round(each.times, 1), default=None)
