"""What the pages' sections share: tables, figures with intervals, and where they were measured."""

from collections.abc import Iterable, Sequence
from typing import Any

Data = dict[str, Any]

VERDICTS = {True: "met", False: "not met", None: ""}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def spread(row: Data, form: str = ".3g") -> str:
    """A value and its interval, where it has one."""
    value, low, high = (f"{row[key]:{form}}" for key in ("value", "low", "high"))
    return value if low == high else f"{value} [{low}, {high}]"


def targets(rows: Iterable[Data]) -> str:
    """One row per figure: its value, its target, and whether it is met."""
    return table(
        ("figure", "value [95%]", "goal", ""),
        ((row["name"], spread(row), _goal(row["target"]), VERDICTS[row["met"]]) for row in rows),
    )


def _goal(target: Any) -> str:
    if target is None:
        return ""
    return " to ".join(f"{end:g}" for end in target) if isinstance(target, list) else f"{target:g}"


def measured_by(command: str, data: Data) -> str:
    """The command that makes a section's figures, and the machine, versions and date of the run."""
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    parts = [data["date"], data["machine"], f"Python {data['python']}", versions]
    if "seed" in data:
        parts.append(f"seed {data['seed']}")
    return f"`{command}`: {'; '.join(parts)}."


def gain(row: Data) -> str:
    """The factor by which cost is lower."""
    value = f"{row['value']:.1f}" if row["value"] > 0 else "not reached"
    return f"{value} [{row['low']:.1f}, {row['high']:.1f}]"
