"""Targets of benchmarks: figures compared with what an issue requires, printed and written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.progress import console
from calibration.replay.curves import interval, resamples
from calibration.report.provenance import provenance
from calibration.report.targets import Interval, Target


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


def bounded(row: dict[str, Any]) -> Interval:
    """A row's value, low and high."""
    return row["value"], row["low"], row["high"]


def once(value: float) -> Interval:
    """A figure that was measured once."""
    return value, value, value


def bootstrapped(values: NDArray[np.float64] | NDArray[np.int64]) -> tuple[float, float, float]:
    """The mean of independent values, with its 95% bootstrap interval."""
    return interval(values[resamples(len(values))].mean(axis=1))
