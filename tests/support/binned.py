"""Outcomes of plans, made for rules that choose among them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from calibration.fitting.binned import BinnedOutcomes


def binned_outcomes(
    plans: Sequence[Plan],
    correct: NDArray[np.float64],
    bins: NDArray[np.int64],
    n_bins: int,
    prompts: NDArray[np.int64] | None = None,
) -> BinnedOutcomes:
    """Outcomes without pilots and tokens; see `BinnedOutcomes` for the arrays.

    Each entry is a prompt of its own unless the prompts are given.
    """
    return BinnedOutcomes(
        plans=plans,
        pilots=0,
        costs=np.array([float(plan.cost(0)) for plan in plans]),
        correct=correct,
        tokens=np.zeros_like(correct),
        flops=np.zeros_like(correct),
        prompts=np.arange(len(bins)) if prompts is None else prompts,
        bins=bins,
        n_bins=n_bins,
    )
