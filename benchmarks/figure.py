"""The demo's picture: accuracy against what was spent."""

from math import log2
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

# Colour-blind safe (Okabe and Ito), baselines muted, the policy strong.
COLOURS = ("#999999", "#CC79A7", "#56B4E9", "#E69F00", "#009E73", "#D55E00")


def draw(found: dict[str, Any], method: str, path: Path, title: str) -> None:
    """Draw best-of-N weighted at each budget and the policy at its own; save as PNG.

    Args:
        found: result of `benchmarks.demo_figures.measure`.
        method: name of the policy's method.
        path: path of the PNG.
        title: title of the figure.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    curve = found["curve"]
    spent = [point["generations"] for point in curve]
    low, middle, high = ([point[key] for point in curve] for key in ("low", "value", "high"))
    axes.plot(spent, middle, marker="o", ms=4, color=COLOURS[2], label="best-of-N weighted")
    axes.fill_between(spent, low, high, color=COLOURS[2], alpha=0.15, lw=0)
    own = found["accuracy"][0]
    ends = [[own["value"] - own["low"]], [own["high"] - own["value"]]]
    policy = spent[-1] / found["gains"]["generations"]["value"]
    axes.errorbar(
        policy, own["value"], ends, fmt="D", ms=7, capsize=4, color=COLOURS[5], label=method
    )
    axes.annotate(
        "",
        (policy, own["value"]),
        (spent[-1], middle[-1]),
        arrowprops={"arrowstyle": "->", "color": COLOURS[0], "shrinkA": 6, "shrinkB": 8},
    )
    axes.annotate(
        f"{found['gains']['generations']['value']:.1f} times fewer",
        ((policy * spent[-1]) ** 0.5, (own["value"] + middle[-1]) / 2),
        (0, 8),
        textcoords="offset points",
        ha="center",
    )
    spending_axes(axes, title, round(log2(spent[-1])))
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def spending_axes(axes: Any, title: str, octaves: int) -> None:
    """Axes of accuracy against generations spent, from 1 to 2 to the power of `octaves`."""
    ticks = [2**i for i in range(octaves + 1)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("average generations per prompt, pilots included")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel("accuracy")
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
