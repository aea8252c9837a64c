"""Curves as a table for the eye and as JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from calibration.console import console
from calibration.curves import Curve, accuracy


def show_curves(curves: Sequence[Curve], draws: NDArray[np.int64]) -> None:
    """Print a row a method, a column a budget."""
    shown = Table(title="Accuracy [95%] by budget; below it the average generations spent")
    for head in ("method", *map(str, curves[0].budgets)):
        shown.add_column(head)
    for curve in curves:
        cells = []
        for row in range(len(curve.budgets)):
            value, low, high = accuracy(curve, row, draws)
            spent = curve.generations[row].mean()
            cells.append(f"{value:.1%}\n[{low:.0%}, {high:.0%}]\n{spent:.1f}")
        shown.add_row(curve.name, *cells)
    console.print(shown)


def show_gains(gains: Sequence[dict[str, Any]], title: str) -> None:
    """Print how many times cheaper each method gets to the baseline's accuracy."""
    shown = Table("method", "in", "times", "95%", title=title)
    for row in gains:
        reached = row["value"] > 0
        shown.add_row(
            row["method"],
            row["unit"],
            f"{row['value']:.1f}" if reached else "not reached",
            f"{row['low']:.1f} to {row['high']:.1f}",
        )
    console.print(shown)
