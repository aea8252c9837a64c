"""Draw what happens to a prompt, from calibration to its receipt: docs/concepts.png.

    python -m benchmarks.concepts

Each box is a word of docs/concepts.md, with the file where it lives. No model is loaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUT = Path("docs") / "concepts.png"
WIDTH, HEIGHT = 21.0, 8.6  # of a box, in hundredths of the page's width
COLOURS = {"calibration": "#dbe9f6", "serving": "#e6f2e0", "models": "#fbe9d0"}


@dataclass(frozen=True)
class Box:
    """A word, and where it stands on the page.

    Attributes:
        word: the term.
        does: what happens there.
        file: where it lives.
        column: 0 to 3, from the left.
        row: 0 to 3, from the top.
        kind: decides the colour.
    """

    word: str
    does: str
    file: str
    column: int
    row: int
    kind: str = "serving"

    @property
    def centre(self) -> tuple[float, float]:
        """Its place on the page."""
        return 13 + 25 * self.column, 62 - 17 * self.row


BOXES = {
    box.word: box
    for box in (
        Box("Data set", "prompts with answers", "calibration/data/", 0, 0, "calibration"),
        Box("Collected samples", "of every plan", "calibration/sampling/", 1, 0, "calibration"),
        Box(
            "Replay and fit",
            "accuracy and cost of plans",
            "calibration/replay/, fitting/",
            2,
            0,
            "calibration",
        ),
        Box(
            "Artifact",
            "table, predictors, prices",
            "runtime/artifact/loaded.py",
            3,
            0,
            "calibration",
        ),
        Box("Prompt", "and its own settings", "runtime/request.py", 0, 1),
        Box("Pilots", "a few scored solutions", "runtime/solving/decide.py", 1, 1),
        Box("pass@1", "predicted difficulty", "predictors/difficulty.py", 2, 1),
        Box("Bin", "quantile of difficulty", "allocator/bins.py", 3, 1),
        Box("Plan", "strategy, N and M", "allocator/table.py, plan.py", 3, 2),
        Box("Samples", "the plan's search runs", "runtime/strategies/", 2, 2),
        Box("Answer", "weighted vote", "runtime/answers/selection.py", 1, 2),
        Box("Receipt", "what was decided and spent", "runtime/result.py", 0, 2),
        Box("Budget", "generations allowed", "runtime/result.py", 3, 3),
        Box("Engine", "the language model", "runtime/engines/base.py", 2, 3, "models"),
        Box("Verifier", "scores every step", "runtime/verifiers/base.py", 1, 3, "models"),
    )
}
# From, to, and what is passed on where the words do not say so.
ARROWS = (
    ("Data set", "Collected samples", ""),
    ("Collected samples", "Replay and fit", ""),
    ("Replay and fit", "Artifact", ""),
    ("Prompt", "Pilots", ""),
    ("Pilots", "pass@1", ""),
    ("pass@1", "Bin", ""),
    ("Bin", "Plan", ""),
    ("Plan", "Samples", ""),
    ("Samples", "Answer", ""),
    ("Answer", "Receipt", ""),
    ("Artifact", "pass@1", "predictor"),
    ("Artifact", "Bin", "bins, table"),
    ("Pilots", "Samples", "kept as candidates"),
    ("Budget", "Plan", ""),
    ("Engine", "Samples", ""),
    ("Verifier", "Samples", ""),
)


def draw_box(axes: Any, box: Box) -> None:
    """A box with its three lines."""
    x, y = box.centre
    axes.add_patch(
        matplotlib.patches.FancyBboxPatch(
            (x - WIDTH / 2, y - HEIGHT / 2),
            WIDTH,
            HEIGHT,
            boxstyle="round,pad=0,rounding_size=1",
            facecolor=COLOURS[box.kind],
            edgecolor="0.4",
            linewidth=0.8,
        )
    )
    axes.text(x, y + 2.3, box.word, ha="center", va="center", fontsize=11, weight="bold")
    axes.text(x, y - 0.3, box.does, ha="center", va="center", fontsize=8.5)
    axes.text(x, y - 2.8, box.file, ha="center", va="center", fontsize=7, family="monospace")


def ends(start: Box, end: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves one box and reaches the other."""
    (x0, y0), (x1, y1) = start.centre, end.centre
    if start.row == end.row:
        side = WIDTH / 2 if x1 > x0 else -WIDTH / 2
        return (x0 + side, y0), (x1 - side, y1)
    lean = (end.column - start.column) * WIDTH / 4  # slanted arrows leave the middle free
    down = HEIGHT / 2 if y1 < y0 else -HEIGHT / 2
    return (x0 + lean, y0 - down), (x1 - lean, y1 + down)


def draw_arrow(axes: Any, start: Box, end: Box, label: str) -> None:
    """An arrow, with what is passed on written on it."""
    tail, head = ends(start, end)
    style = {"arrowstyle": "-|>", "color": "0.35", "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", head, tail, arrowprops=style)
    if label:
        middle = (tail[0] + head[0]) / 2, (tail[1] + head[1]) / 2
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(*middle, label, ha="center", va="center", fontsize=8, style="italic", bbox=paper)


def main() -> None:
    figure, axes = plt.subplots(figsize=(10, 7), constrained_layout=True)
    axes.set_xlim(0, 101)
    axes.set_ylim(4, 70)
    axes.axis("off")
    for start, end, label in ARROWS:
        draw_arrow(axes, BOXES[start], BOXES[end], label)
    for box in BOXES.values():
        draw_box(axes, box)
    notes = {
        0: "once, by ttc calibrate",
        1: "for every prompt, by Solver",
    }
    for row, note in notes.items():
        axes.text(2.5, 62 - 17 * row + HEIGHT / 2 + 0.8, note, fontsize=9, style="italic")
    figure.savefig(OUT, dpi=120)
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
