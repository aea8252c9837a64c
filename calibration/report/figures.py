"""The report's figures as SVG: one drawing per width, with colours that the page can replace."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO, StringIO
from math import ceil, sqrt
from typing import Any

from calibration.replay.ways import PREDICTED
from calibration.report.methods import styles
from calibration.report.summary import Group, PredictorSummary, Saving
from calibration.report.words import count
from runtime.artifact.plot import COLOURS, scale_generations

# (name, on light, on dark). Figures are drawn in the light ones; in the page each is replaced by
# the CSS variable of its name, so that they follow the reader's light or dark.
PALETTE = (
    ("surface", "#ffffff", "#171b21"),
    ("ink", "#1b1f24", "#e7eaee"),
    ("muted", "#57606a", "#a7b0ba"),
    ("line", "#d5dae0", "#363d47"),
    *COLOURS,
)
_LIGHT = {name: light for name, light, _ in PALETTE}

# Inches of 72 points, shown at 96 pixels to the inch. The narrow one is for phones.
WIDE, NARROW = 8.6, 3.5
PIXELS = 150  # of a PNG, to the inch


@dataclass(frozen=True)
class Drawing:
    """A figure at both widths.

    Attributes:
        name: for files and ids.
        says: what it shows, in a sentence, for screen readers.
        wide: SVG.
        narrow: SVG.
        picture: the wide one as PNG, where pages that show no SVG use it.
    """

    name: str
    says: str
    wide: str
    narrow: str
    picture: bytes = b""


def accuracy_figure(
    group: Group, baseline: str, leading: str, saving: Saving | None, says: str
) -> Drawing:
    """Every method's accuracy over the generations it spends, all prompts together.

    Args:
        group: all prompts.
        baseline: name of the method that others are compared with.
        leading: name of the method that stands out beside it.
        saving: drawn as an arrow if there is a saving.
        says: what the figure shows, in a sentence.
    """

    def draw(width: float) -> Any:
        figure, (axes,) = _figure(width, 4.6 if width == WIDE else 4.9)
        _curves(axes, group, baseline, leading)
        if saving is not None and saving.times > 1:
            _arrow(axes, saving)
        axes.set_ylabel("accuracy")
        _legend(figure, axes, width)
        return figure

    return replace(_drawn("accuracy", says, draw), picture=_png(draw))


def bins_figure(groups: Sequence[Group], baseline: str, says: str) -> Drawing:
    """The same per bin, side by side on one scale."""

    def draw(width: float) -> Any:
        columns = min(len(groups), 3 if width == WIDE else 1)
        rows = ceil(len(groups) / columns)
        figure, panels = _figure(width, 2.4 * rows + 0.9, rows, columns)
        for number, (axes, group) in enumerate(zip(panels, groups, strict=False)):
            _curves(axes, group, baseline, PREDICTED)
            axes.set_ylim(-0.03, 1.03)
            axes.set_title(f"{group.name}, {count(group.prompts, 'prompt')}", loc="left", size=9)
            if number % columns == 0:
                axes.set_ylabel("accuracy")
            if number + columns < len(groups):
                axes.set_xlabel("")
        for axes in panels[len(groups) :]:
            axes.set_axis_off()
        _legend(figure, panels[0], width)
        return figure

    return _drawn("bins", says, draw)


def reliability_figure(predictor: PredictorSummary, says: str) -> Drawing:
    """Measured over predicted difficulty."""

    def draw(width: float) -> Any:
        figure, (axes,) = _figure(min(width, 4.2), 3.6)
        axes.plot([0, 1], [0, 1], "--", lw=1, color=_LIGHT["muted"])
        most = max((point.prompts for point in predictor.reliability), default=1)
        for point in predictor.reliability:
            ends = [[point.predicted] * 2, [point.low, point.high]]
            axes.plot(*ends, color=_LIGHT["c0"], lw=1.4)
            size = 4 + 6 * sqrt(point.prompts / most)
            axes.plot(point.predicted, point.measured, "o", color=_LIGHT["c0"], ms=size)
        for axis, word in ((axes.xaxis, "predicted"), (axes.yaxis, "measured")):
            axis.set_label_text(f"{word} pass@1")
            axis.set_major_formatter("{x:.0%}")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        return figure

    return _drawn("reliability", says, draw)


def inline(svg: str, name: str, says: str) -> str:
    """An SVG for embedding in the page: colours become CSS variables, ids get a prefix.

    Args:
        svg: as drawn.
        name: unique prefix for its ids.
        says: its label, escaped for an attribute.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', opening)
    wide = float(box[1]) / 72 * 96 if box else 0
    opening = re.sub(r' (width|height|version|xmlns(:\w+)?)="[^"]*"', "", opening)
    opening += f' role="img" aria-label="{says}" style="max-width: {wide:.0f}px"'
    rest = rest.replace("xlink:href=", "href=")
    rest = re.sub(r'(id="|href="#|url\(#)', rf"\1{name}-", rest)
    for colour, light, _ in PALETTE:
        rest = rest.replace(light, f"var(--{colour})")
    return f"{opening}>{rest}"


def _curves(axes: Any, group: Group, baseline: str, leading: str) -> None:
    drawn = styles([curve.name for curve in group.curves], baseline, leading)
    budgets = group.budgets
    spent = [p.generations for curve in group.curves for p in curve.points] or [1.0]
    # Strong curves are drawn last, on top.
    for curve in sorted(group.curves, key=lambda curve: drawn[curve.name].strong):
        style, points = drawn[curve.name], curve.points
        x, y = [p.generations for p in points], [p.accuracy for p in points]
        axes.plot(
            x,
            y,
            "--" if style.dashed else "-",
            marker=style.marker,
            markevery=[row for row, point in enumerate(points) if point.budget in budgets],
            ms=5 if style.strong else 4,
            lw=2.2 if style.strong else 1.2,
            color=style.colour,
            label=curve.name,
        )
        if style.strong:
            ends = [p.low for p in points], [p.high for p in points]
            axes.fill_between(x, *ends, color=style.colour, alpha=0.14, lw=0)
        if len(points) == 1:
            axes.plot([x[0], x[0]], [points[0].low, points[0].high], color=style.colour, lw=1.2)
    scale_generations(axes, spent)


def _arrow(axes: Any, saving: Saving) -> None:
    """The saving: an arrow from the baseline's cost to the way's, at the same accuracy."""
    axes.annotate(
        "",
        (saving.generations, saving.accuracy),
        (saving.baseline, saving.accuracy),
        arrowprops={"arrowstyle": "->", "color": _LIGHT["ink"], "lw": 1.4, "shrinkA": 0},
    )
    axes.annotate(
        f"{saving.times:.1f} times fewer",
        (sqrt(saving.generations * saving.baseline), saving.accuracy),
        (0, -8),
        textcoords="offset points",
        ha="center",
        va="top",
        weight="bold",
        bbox={"facecolor": _LIGHT["surface"], "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )


def _legend(figure: Any, axes: Any, width: float) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = min(len(handles), 3 if width == WIDE else 1)
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure((width, height), layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.06))
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(lw=0.8)
    return figure, panels


def _drawn(name: str, says: str, draw: Callable[[float], Any]) -> Drawing:
    return Drawing(name, says, wide=_svg(draw, WIDE), narrow=_svg(draw, NARROW))


def _svg(draw: Callable[[float], Any], width: float) -> str:
    with _look():
        svg = StringIO()
        draw(width).savefig(svg, format="svg", metadata={"Date": None})
        return svg.getvalue()


def _png(draw: Callable[[float], Any]) -> bytes:
    with _look():
        png = BytesIO()
        draw(WIDE).savefig(png, format="png", dpi=PIXELS, metadata={"Software": None})
        return png.getvalue()


@contextmanager
def _look() -> Iterator[None]:
    import matplotlib

    ink, muted, line = _LIGHT["ink"], _LIGHT["muted"], _LIGHT["line"]
    with matplotlib.rc_context(
        {
            # Text stays text in the page's font; names are not parsed as formulas.
            "svg.fonttype": "none",
            "svg.hashsalt": "report",
            "text.parse_math": False,
            "font.size": 9,
            "text.color": ink,
            "axes.labelcolor": ink,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
            "axes.edgecolor": muted,
            "xtick.color": muted,
            "ytick.color": muted,
            "grid.color": line,
            "figure.facecolor": _LIGHT["surface"],
            "axes.facecolor": _LIGHT["surface"],
        }
    ):
        yield
