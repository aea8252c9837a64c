"""A comparison of methods for the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table


def comparison(
    curves: Sequence[dict[str, Any]], gains: Sequence[dict[str, Any]], budget: int
) -> Table:
    """Every method: accuracy and what was really spent at each budget, and what it saves.

    Args:
        curves: as `calibration.curves.as_json` gives them.
        gains: as `calibration.curves.gains` gives them.
        budget: the one at which savings are shown.
    """
    budgets = [point["budget"] for point in curves[0]["points"]]
    shown = Table(
        title="Accuracy [95%] by budget; below it the generations and the tokens spent a prompt. "
        f"Last, how many times fewer that is than best-of-{budget} weighted takes, at its accuracy"
    )
    for head in ("method", *map(str, budgets), "generations", "tokens"):
        shown.add_column(head)
    told = {(row["method"], row["unit"]): row for row in gains if row["budget"] == budget}
    for curve in curves:
        cells = [
            f"{point['accuracy']:.1%}\n[{point['low']:.0%}, {point['high']:.0%}]\n"
            f"{point['generations']:.1f}\n{point['tokens']:,.0f}"
            for point in curve["points"]
        ]
        saved = [_times(told.get((curve["name"], unit))) for unit in ("generations", "tokens")]
        shown.add_row(curve["name"], *cells, *saved)
    return shown


def _times(gain: dict[str, Any] | None) -> str:
    if gain is None:
        return ""
    value = f"{gain['value']:.1f} x" if gain["value"] > 0 else "not reached"
    return f"{value}\n[{gain['low']:.1f}, {gain['high']:.1f}]"


def in_points(differences: Sequence[dict[str, Any]]) -> str:
    """Differences in accuracy in a line."""
    return "; ".join(
        f"{row['budget']}: {100 * row['value']:+.1f} "
        f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
        for row in differences
    )
