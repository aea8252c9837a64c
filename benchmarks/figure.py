"""The demo's picture: accuracy against what was spent, drawn from what ``demo.json`` holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

# Colour-blind safe (Okabe and Ito), baselines muted, the policy strong.
COLOURS = ("#999999", "#CC79A7", "#56B4E9", "#E69F00", "#009E73", "#D55E00")
BANDED = ("best-of-N weighted", "compute-optimal, predicted bins")


def draw(curves: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw curves over the average generations they spent, two with 95% bands; save as PNG.

    Args:
        curves: as `calibration.curves.as_json` gives them.
        path: the PNG.
        title: what it is of.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5.6), layout="constrained")
    for curve, colour in zip(curves, COLOURS, strict=False):
        # A larger budget may take fewer pilots, and spend less.
        name, points = curve["name"], sorted(curve["points"], key=lambda p: p["generations"])
        spent = [point["generations"] for point in points]
        values = [point["accuracy"] for point in points]
        style = "--" if "oracle" in name else "-"
        axes.plot(spent, values, style, marker="o", ms=4, color=colour, label=name)
        if name in BANDED:
            low, high = ([point[end] for point in points] for end in ("low", "high"))
            axes.fill_between(spent, low, high, color=colour, alpha=0.15, lw=0)
    spending_axes(axes, title, 6)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def spending_axes(axes: Any, title: str, octaves: int) -> None:
    """Axes of accuracy against generations spent, from 1 to 2 to the power of `octaves`."""
    ticks = [2**i for i in range(octaves + 1)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("average generations a prompt, pilots included")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel("accuracy")
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
