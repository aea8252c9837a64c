"""A figure as panels of lines: drawn as PNG and SVG, written as CSV."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from benchmarks.figure import COLOURS
from calibration.replay.curves import Curve, accuracy, resamples
from calibration.report.targets import Interval

MARKS = "osD^vP"
# Characters in a line of a panel's title; the last part of a longer one is on a second line.
TITLE_WIDTH = 34


@dataclass(frozen=True)
class Line:
    """One method in one panel.

    Attributes:
        name: the same in all panels; decides the colour.
        x: shape (points,).
        values: value, low and high (95%) of each point.
        banded: whether the interval is drawn. The CSV always has it.
    """

    name: str
    x: Sequence[float]
    values: Sequence[Interval]
    banded: bool = False


@dataclass(frozen=True)
class Panel:
    """One set of axes.

    Attributes:
        title: title of the panel.
        x_label: label of the x axis.
        lines: in order.
    """

    title: str
    x_label: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Figure:
    """One figure of the paper.

    Attributes:
        name: base name of its files.
        title: what it shows.
        panels: in reading order.
        columns: number of panels per row.
    """

    name: str
    title: str
    panels: Sequence[Panel]
    columns: int


def part_of(curve: Curve, inside: NDArray[np.bool_]) -> Curve:
    """The curve over those prompts alone that the mask, shape (prompts,), is true for."""
    costs = curve.generations[:, inside], curve.tokens[:, inside], curve.flops[:, inside]
    return Curve(curve.name, curve.budgets, curve.correct[:, inside], *costs)


def line_of(
    curve: Curve, inside: NDArray[np.bool_], *, spent: bool = False, banded: bool = False
) -> Line:
    """A curve over some of the prompts.

    Args:
        curve: the method.
        inside: mask of the prompts, shape (prompts,).
        spent: draw it over the average generations spent, not over the budget.
        banded: see `Line`.
    """
    part = part_of(curve, inside)
    draws = resamples(int(inside.sum()))
    x = part.generations.mean(axis=1) if spent else np.array(curve.budgets, dtype=float)
    order = np.argsort(x, kind="stable")
    values = [accuracy(part, int(row), draws) for row in order]
    return Line(curve.name, x[order].tolist(), values, banded)


def draw(figure: Figure, folder: Path) -> None:
    """Write NAME.png, NAME.svg and NAME.csv.

    Args:
        figure: what to draw.
        folder: target folder; created if there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(figure, folder / f"{figure.name}.csv")
    rows = ceil(len(figure.panels) / figure.columns)
    width = 3.8 if figure.columns <= 3 else 2.5
    size = (max(7.0, width * figure.columns), 2.9 * rows + 1.0)
    # Fixed, so that the same data gives the same file.
    with plt.rc_context({"svg.hashsalt": figure.name, "font.size": 9}):
        drawn, grid = plt.subplots(
            rows, figure.columns, figsize=size, layout="constrained", squeeze=False
        )
        names = list(dict.fromkeys(line.name for panel in figure.panels for line in panel.lines))
        flat = list(grid.ravel())
        for axes, panel in zip(flat, figure.panels, strict=False):
            _draw_panel(axes, panel, names, figure.columns > 3)
        for axes in flat[len(figure.panels) :]:
            axes.set_visible(False)
        for left in grid[:, 0]:
            left.set_ylabel("accuracy")
        handles = {
            label: handle
            for axes in flat
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        drawn.suptitle(figure.title, x=0.01, ha="left", fontsize=11)
        drawn.legend(
            [handles[name] for name in names],
            names,
            frameon=False,
            loc="outside lower center",
            ncols=_legend_columns(names, size[0]),
        )
        drawn.savefig(folder / f"{figure.name}.png", dpi=150)
        drawn.savefig(folder / f"{figure.name}.svg", metadata={"Date": None})
        plt.close(drawn)


def _legend_columns(names: Sequence[str], inches: float) -> int:
    """Number of columns that fit, each as wide as the longest name."""
    widest = 0.6 + 0.075 * max(len(name) for name in names)
    return int(min(len(names), max(1, inches // widest)))


def _draw_panel(axes: Any, panel: Panel, names: Sequence[str], crowded: bool) -> None:
    for line in panel.lines:
        place = names.index(line.name)
        colour = COLOURS[place % len(COLOURS)]
        middle = [value for value, _, _ in line.values]
        axes.plot(
            line.x,
            middle,
            marker=MARKS[place % len(MARKS)],
            ms=3.5,
            lw=1.4,
            ls="-" if place < len(COLOURS) else "--",
            color=colour,
            label=line.name,
        )
        if line.banded:
            low, high = ([value[end] for value in line.values] for end in (1, 2))
            axes.fill_between(line.x, low, high, color=colour, alpha=0.15, lw=0)
    axes.set_xscale("log", base=2)
    most = max(x for line in panel.lines for x in line.x)
    # Every second power if labels would touch.
    ticks = [2**i for i in range(0, ceil(np.log2(most)) + 1, 2 if crowded else 1)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    lines = [panel.title] if len(panel.title) <= TITLE_WIDTH else panel.title.rsplit(", ", 1)
    axes.set_title("\n".join(lines), loc="left", fontsize=8.5 if crowded else 9.5)
    axes.set_xlabel(panel.x_label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _write_csv(figure: Figure, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["panel", "line", "x", "value", "low", "high"])
        for panel in figure.panels:
            for line in panel.lines:
                for x, values in zip(line.x, line.values, strict=True):
                    writer.writerow(
                        [panel.title, line.name, f"{x:g}", *(f"{v:.6g}" for v in values)]
                    )
