"""What an artifact's budgets buy, drawn with matplotlib; the colours of all figures."""

from collections.abc import Sequence
from math import ceil, floor, log2
from typing import TYPE_CHECKING, Any

from allocator.extras import require

if TYPE_CHECKING:
    from runtime.artifact.loaded import FittedPolicy

# Colour-blind safe after Okabe and Ito, darkened or lightened to 3:1 against the page:
# (name, on light, on dark). Compute-optimal's comes first, the baseline's second, then those of the
# ways that stop early.
COLOURS = (
    ("c0", "#0072b2", "#56b4e9"),
    ("c1", "#d55e00", "#ff8f50"),
    ("c2", "#00805f", "#2fc79a"),
    ("c3", "#b0578c", "#e39bc8"),
    ("c4", "#9a6a00", "#e6b93c"),
    ("c5", "#6a7380", "#a3abb8"),
    ("c6", "#6f52b5", "#b79cf0"),
)


def plot_policy(policy: "FittedPolicy", axes: Any = None) -> Any:
    """Draw accuracy over generations per prompt, as calibration measured them.

    Args:
        policy: the artifact's.
        axes: matplotlib's Axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: matplotlib is not installed.
    """
    require("report", "plot", str(policy.folder))
    if axes is None:
        from matplotlib import pyplot as plt

        _, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    same = [
        option
        for option in policy.curves.curves[0].overall
        if option.plan.strategy == "best_of_n" and option.plan.thinking is None
    ]
    rows = [row for row in policy.policy.table.rows if row.unit == "generations"]
    drawn = {
        "best-of-N for all": ("c1", [(float(o.generations), o.accuracy) for o in same]),
        "by difficulty bins": ("c0", [(row.generations, row.accuracy) for row in rows]),
        "by price": ("c2", [(point.generations, point.accuracy) for point in policy.prices.points]),
    }
    inks = {name: on_light for name, on_light, _ in COLOURS}
    for name, (ink, points) in drawn.items():
        x, y = zip(*sorted(points), strict=True)
        axes.plot(x, y, marker="o", ms=3.5, lw=1.8, color=inks[ink], label=name)
    scale_generations(axes, [spent for _, points in drawn.values() for spent, _ in points])
    axes.set_ylabel("accuracy in calibration")
    axes.set_title("What a budget buys", loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return axes


def scale_generations(axes: Any, spent: Sequence[float]) -> None:
    """A logarithmic axis of generations per prompt, and percents on the other axis.

    Args:
        axes: the axes.
        spent: all costs that are drawn.
    """
    powers = range(floor(log2(min(spent))), ceil(log2(max(spent))) + 1)
    step = 1 + len(powers) // 8
    ticks = [2.0**power for power in powers][::step]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("generations per prompt")
