"""Published methods as baselines on the same samples."""

import numpy as np
from numpy.typing import NDArray

from allocator.bins import DifficultyBins, bin_of
from allocator.budget import allocate
from allocator.plan import Plan
from benchmarks.allocation.family import SeededReplay
from benchmarks.allocation.methods import AVERAGES, planned
from calibration.fitting.binned import gather
from calibration.fitting.plan_selection import smoothed_accuracies
from calibration.replay.curves import Curve
from calibration.replay.replay import Replay
from predictors.features import FEATURE_NAMES

BINS = 5


def concave_by(
    name: str,
    calibration: Replay,
    test: SeededReplay,
    measured: NDArray[np.float64],
    live: NDArray[np.float64],
    pilots: int,
    most: int,
) -> Curve:
    """Best-of-n shared out over prompts by a measure of their difficulty, high where easy.

    Prompts are cut into bins by the measure, calibration gives the accuracy of best-of-n in each,
    and one budget is allocated on the concave curves. By the prompt alone this is the greedy
    allocation of "Learning How Hard to Think" (Damani et al. 2024); by the uncertainty of a first
    sample it is that of UAB (arXiv 2605.26849).

    Args:
        name: name of the curve.
        calibration: calibration prompts.
        test: test prompts.
        measured: the measure on the calibration prompts, shape (prompts, replicates).
        live: the measure on the test prompts, shape (prompts, seeds).
        pilots: number of samples that the measure costs; they are the first of best-of-n's.
        most: the largest n.
    """
    # Bins are cut in [0, 1], so the measure is replaced by its rank among calibration prompts.
    known = np.sort(measured.ravel())
    ranks = np.searchsorted(known, measured, side="right") / len(known)
    edges = DifficultyBins(BINS).fit(ranks).edges_
    bins = bin_of(edges, ranks.ravel())
    sizes = [n for n in (2**i for i in range(most.bit_length())) if n >= max(pilots, 1)]
    plans = [Plan(strategy="best_of_n", n=n) for n in sizes]
    accuracies = smoothed_accuracies(gather(calibration, plans, 0, bins, len(edges) + 1)).T
    place = bin_of(edges, np.searchsorted(known, live, side="right") / len(known))
    costs, choices = np.array(sizes, dtype=float), np.array(plans, dtype=object)
    rows = []
    for average in AVERAGES:
        if average < sizes[0]:
            continue
        chosen = np.empty(live.shape, dtype=object)
        for seed in range(live.shape[1]):
            total = average * len(live)
            given = allocate(costs, accuracies[place[:, seed]], total)
            chosen[:, seed] = choices[given.options]
        rows.append((round(average * len(live)), 0, chosen))
    return planned(name, test, rows)


def first_uncertainty(replay: Replay) -> NDArray[np.float64]:
    """Mean probability per token of the first sample; shape (prompts, replicates)."""
    return np.asarray(replay.features(1)[..., FEATURE_NAMES.index("token_logprob_mean")])
