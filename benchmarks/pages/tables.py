"""Shared by all sections: tables, figures with intervals, and provenance."""

from collections.abc import Iterable, Sequence
from typing import Any

from calibration.report.words import times

Data = dict[str, Any]

VERDICTS = {True: "met", False: "not met", None: ""}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def spread(row: Data, form: str = ".3g") -> str:
    """A value, with its interval if it has one; whole numbers from a thousand on."""
    figures = (row[key] for key in ("value", "low", "high"))
    value, low, high = (f"{x:,.0f}" if abs(x) >= 1000 else f"{x:{form}}" for x in figures)
    return value if low == high else f"{value} [{low}, {high}]"


def targets(rows: Iterable[Data]) -> str:
    """One row per figure: its value, its goal, and whether the goal is met."""
    return table(
        ("figure", "value [95%]", "goal", ""),
        ((row["name"], spread(row), _goal(row["target"]), VERDICTS[row["met"]]) for row in rows),
    )


def _goal(target: Any) -> str:
    if target is None:
        return ""
    return " to ".join(f"{end:g}" for end in target) if isinstance(target, list) else f"{target:g}"


def measured_by(command: str, data: Data) -> str:
    """The command that measured a section, with date, machine and versions."""
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    parts = [data["date"], data["machine"], f"Python {data['python']}", versions]
    if "seed" in data:
        parts.append(f"seed {data['seed']}")
    return f"`{command}`: {'; '.join(parts)}."


def saving(row: Data) -> str:
    """A factor of saving, with its interval."""
    return times(row["value"], row["low"], row["high"])
