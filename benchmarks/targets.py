"""Targets of benchmarks: figures compared with what an issue requires, printed and written."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.progress import console
from calibration.replay.curves import interval, resamples
from calibration.report.provenance import provenance
from calibration.report.targets import Interval, Target

# A part of a benchmark: its data, and the targets that it is measured by.
Part = Callable[[], tuple[dict[str, Any], list[Target]]]


def at_least(name: str, interval: Interval, target: float) -> Target:
    """A target met by a value at or above it."""
    value, low, high = interval
    return Target(name=name, value=value, low=low, high=high, target=target, met=value >= target)


def at_most(name: str, interval: Interval, target: float) -> Target:
    """A target met by a value at or below it."""
    value, low, high = interval
    return Target(name=name, value=value, low=low, high=high, target=target, met=value <= target)


def between(name: str, interval: Interval, low: float, high: float) -> Target:
    """A target met by a value inside a range."""
    value = interval[0]
    return Target(
        name=name,
        value=value,
        low=interval[1],
        high=interval[2],
        target=(low, high),
        met=low <= value <= high,
    )


def show_targets(targets: Sequence[Target]) -> None:
    """Print one line per target."""
    words = {True: "[green]met[/green]", False: "[red]NOT MET[/red]", None: "measured"}
    for t in targets:
        against = "" if t.target is None else f", target {t.target}"
        console.print(
            f"{words[t.met]}: {t.name} {t.value:.3g} [{t.low:.3g}, {t.high:.3g}]{against}"
        )


def write_result(path: Path, data: dict[str, Any], targets: Sequence[Target]) -> None:
    """Write a benchmark's JSON: where and when it ran, its data and its targets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [target.model_dump() for target in targets]
    path.write_text(json.dumps({**data, **provenance(), "targets": rows}, indent=1) + "\n")


def run_parts(path: Path, parts: Mapping[str, Part], only: str | None, seed: int) -> None:
    """Run the parts of a benchmark, show their targets and write its JSON.

    Args:
        path: the JSON.
        parts: by their names.
        only: the one part to run, which replaces its earlier results in the file; None for all.
        seed: of all parts.
    """
    data: dict[str, Any] = {"seed": seed}
    if only is not None and path.is_file():
        data = json.loads(path.read_text())
    for name, part in parts.items():
        if only in (None, name):
            started = time.perf_counter()
            figures, targets = part()
            show_targets(targets)
            took = time.perf_counter() - started
            data[name] = figures | {"took": took, "targets": [t.model_dump() for t in targets]}
    measured = [Target(**row) for name in parts if name in data for row in data[name]["targets"]]
    data.pop("targets", None)
    write_result(path, data, measured)


def bounded(row: dict[str, Any]) -> Interval:
    """A row's value, low and high."""
    return row["value"], row["low"], row["high"]


def once(value: float) -> Interval:
    """A figure that was measured once."""
    return value, value, value


def bootstrapped(values: NDArray[np.float64] | NDArray[np.int64]) -> tuple[float, float, float]:
    """The mean of independent values, with its 95% bootstrap interval."""
    return interval(values[resamples(len(values))].mean(axis=1))
