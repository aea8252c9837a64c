"""Pictures of what allocation gains."""

from collections.abc import Mapping, Sequence
from math import ceil, log2
from pathlib import Path

import matplotlib

from benchmarks.figure import COLOURS, spending_axes
from calibration.replay.curve_summary import CurveSummary
from calibration.replay.ways import PREDICTED, TOTAL
from calibration.report.targets import Interval

matplotlib.use("Agg")

# The methods to draw, in this order; the table lists the others.
SHOWN = {
    "best-of-N weighted": COLOURS[2],
    "rival: adaptive consistency": COLOURS[0],
    "rival: greedy by the prompt alone": COLOURS[1],
    "rival: concave by the first sample's uncertainty": COLOURS[3],
    PREDICTED: COLOURS[4],
    TOTAL: COLOURS[5],
}
BANDED = ("best-of-N weighted", TOTAL)


def draw_methods(curves: Sequence[CurveSummary], path: Path, title: str) -> None:
    """Accuracy against the generations spent on average, two methods with 95% bands."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5.6), layout="constrained")
    found = {curve.name: curve.points for curve in curves}
    for name, colour in SHOWN.items():
        points = sorted(found.get(name, []), key=lambda point: point.generations)
        if not points:
            continue
        spent = [point.generations for point in points]
        axes.plot(spent, [p.accuracy for p in points], marker="o", ms=3.5, color=colour, label=name)
        if name in BANDED:
            low, high = [point.low for point in points], [point.high for point in points]
            axes.fill_between(spent, low, high, color=colour, alpha=0.15, lw=0)
    most = max(point.generations for points in found.values() for point in points)
    spending_axes(axes, title, ceil(log2(most)))
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_difficulty(prediction: Mapping[int, Mapping[str, Interval]], path: Path) -> None:
    """Draw the quality of predicted difficulty by number of pilots."""
    from matplotlib import pyplot as plt

    figures = ("spearman", "calibration error", "coverage", "width")
    figure, panels = plt.subplots(1, len(figures), figsize=(11, 3.2), layout="constrained")
    counts = list(prediction)
    for axes, name in zip(panels, figures, strict=True):
        values = [prediction[count][name] for count in counts]
        middle = [value for value, _, _ in values]
        # Resampled prompts are fewer different ones, whose calibration error is greater: all of its
        # interval may lie above it.
        low = [max(value - bottom, 0) for value, bottom, _ in values]
        high = [max(top - value, 0) for value, _, top in values]
        axes.errorbar(range(len(counts)), middle, [low, high], fmt="o-", ms=4, color=COLOURS[5])
        if name == "coverage":
            axes.axhline(0.9, color=COLOURS[0], ls="--", lw=1)
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlabel("pilots")
        axes.set_title(
            {"coverage": "coverage of 90% intervals", "width": "their mean width"}.get(name, name),
            loc="left",
            fontsize=10,
        )
        axes.set_ylim(0, 1.02 if name in ("spearman", "coverage", "width") else None)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
