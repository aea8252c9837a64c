"""What several methods save over a baseline, at its accuracy and near it: the rows of JSON."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.replay.curves import Curve, saving_factors

# Savings are measured at the baseline's accuracy, and at this share of the way to it from the
# smallest budget's.
SHARES = (1.0, 0.95)


def saving_rows(
    baseline: Curve,
    methods: Iterable[Curve],
    at: Iterable[int],
    draws: NDArray[np.int64],
    n_jobs: int | None = -1,
) -> list[dict[str, Any]]:
    """The saving of each method at each of some of the baseline's budgets.

    One row per share of `SHARES`, method, budget and unit, with ``value``, ``low`` and ``high`` of
    `calibration.replay.curves.saving_factor`; in tokens and FLOPs only where they were counted.
    `n_jobs` is that of `calibration.replay.parallel`.
    """
    budgets, compared = list(at), list(methods)
    found = []
    for share in SHARES:
        wanted = part_way(baseline, share)
        for method in compared:
            units = [unit for unit in baseline.units if unit in method.units]
            each = {
                unit: saving_factors(wanted, budgets, method, draws, unit, n_jobs=n_jobs)
                for unit in units
            }
            for row, budget in enumerate(budgets):
                for unit in units:
                    of = {"method": method.name, "budget": budget, "share": share, "unit": unit}
                    figures = zip(("value", "low", "high"), each[unit][row], strict=True)
                    found.append(of | dict(figures))
    return found


def saving_row(
    rows: Iterable[dict[str, Any]], method: str, budget: int, unit: str, share: float = 1.0
) -> dict[str, Any]:
    """The one of `saving_rows` that is of a method, budget, unit and share."""
    wanted = {"method": method, "budget": budget, "unit": unit, "share": share}
    (found,) = (row for row in rows if wanted.items() <= row.items())
    return found


def part_way(baseline: Curve, share: float) -> Curve:
    """The baseline with less accuracy: part of the way from its smallest budget's.

    Where the baseline levels off, its last tenths of a point decide what reaching all of it costs.
    """
    least = baseline.correct[int(np.argmin(baseline.budgets))]
    return replace(baseline, correct=least + share * (baseline.correct - least))
