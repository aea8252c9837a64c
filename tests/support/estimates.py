"""Estimated accuracies of best-of-n, as calibration keeps them of one bin."""

from collections.abc import Sequence

from allocator.curves import PlanEstimate
from allocator.plan import Plan


def estimates(counts: Sequence[int], *accuracies: float) -> tuple[PlanEstimate, ...]:
    """Best-of-n of each count with its accuracy, at n generations and n tokens."""
    return tuple(
        PlanEstimate(plan=Plan(strategy="best_of_n", n=n), generations=n, accuracy=a, tokens=n)
        for n, a in zip(counts, accuracies, strict=True)
    )
