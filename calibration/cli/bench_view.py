"""A comparison of methods for the terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from calibration.cli.console import new_table
from calibration.replay.curve_summary import CurveSummary
from calibration.report.words import flops, shown_units, times


def comparison(
    curves: Sequence[CurveSummary],
    gains: Sequence[dict[str, Any]],
    budgets: Sequence[int],
    baseline: str,
) -> Iterator[Table]:
    """Accuracy and actual cost of every method at each budget; then what each saves.

    Args:
        curves: one per method, each with points at the budgets; points at others are not shown.
        gains: rows as `calibration.report.bench_result.Times` has them.
        budgets: to show, ascending; savings are shown at the last.
        baseline: the method that savings are over.
    """
    counted = any(point.flops is not None for curve in curves for point in curve.points)
    units = shown_units(["flops"] if counted else [])
    heads = list(units.values())
    for budget in budgets:
        points = [(curve.name, curve.at(budget)) for curve in curves]
        shown = new_table(
            f"Budget {budget}; costs are per prompt", "method", "accuracy [95%]", *heads
        )
        for name, point in points:
            if point is None:
                continue
            shown.add_row(
                name,
                f"{point.accuracy:.1%} [{point.low:.0%}, {point.high:.0%}]",
                f"{point.generations:.1f}",
                "" if point.tokens is None else f"{point.tokens:,.0f}",
                *([] if point.flops is None else [flops(point.flops)]),
            )
        yield shown
    budget = budgets[-1]
    for share in dict.fromkeys(row["share"] for row in gains):
        accuracy = "its accuracy" if share == 1 else f"{share:.0%} of the way there from one sample"
        saved = new_table(
            f"How many times fewer than {baseline} with N = {budget}, at {accuracy} [95%]",
            "method",
            *heads,
        )
        at = {
            (row["method"], row["unit"]): row
            for row in gains
            if row["budget"] == budget and row["share"] == share
        }
        for name in (curve.name for curve in curves):
            gained = (_times(at.get((name, unit))) for unit in units)
            saved.add_row(name, *gained)
        yield saved


def _times(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not counted"
    return times(row["value"], row["low"], row["high"])


def in_points(differences: Sequence[dict[str, Any]]) -> str:
    """Differences in accuracy on one line."""
    return "; ".join(
        f"{row['budget']}: {100 * row['value']:+.1f} "
        f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
        for row in differences
    )
