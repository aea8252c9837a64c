"""The demo's picture: accuracy against what was spent."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from benchmarks.curves import Curve, accuracy

matplotlib.use("Agg")

# Colour-blind safe (Okabe and Ito), baselines muted, the policy strong.
COLOURS = ("#999999", "#CC79A7", "#56B4E9", "#E69F00", "#009E73", "#D55E00")


def draw(
    curves: Sequence[Curve],
    banded: Sequence[Curve],
    draws: NDArray[np.int64],
    path: Path,
    title: str,
) -> None:
    """Draw curves over the average generations they spent, some with 95% bands; save as PNG."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for curve, colour in zip(curves, COLOURS, strict=False):
        spent = curve.generations.mean(axis=1)
        values = np.array([accuracy(curve, row, draws) for row in range(len(curve.budgets))])
        style = "--" if "oracle" in curve.name else "-"
        axes.plot(spent, values[:, 0], style, marker="o", ms=4, color=colour, label=curve.name)
        if any(curve is other for other in banded):
            axes.fill_between(spent, values[:, 1], values[:, 2], color=colour, alpha=0.15, lw=0)
    ticks = [2**i for i in range(7)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("average generations a prompt, pilots included")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel("accuracy")
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)
    plt.close(figure)
