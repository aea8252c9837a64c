"""The methods of a summary's curves: how each is found, and how it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.replay.curve_summary import CurvePoint, CurveSummary
from calibration.replay.ways import PRICE, TOTAL, WAYS, Way
from calibration.report.summary import Group, Summary
from runtime.artifact.plot import COLOURS

POLICY = "compute-optimal"

EARLY = (PRICE, TOTAL)
MARKERS = "^sDvPX*"


@dataclass(frozen=True)
class Style:
    """How a method's curve is drawn; `strong` ones are thick and have a band."""

    colour: str
    marker: str
    dashed: bool
    strong: bool


def is_oracle(name: str) -> bool:
    """Whether a curve uses the true difficulty, which is unknown for new prompts."""
    return name.startswith(POLICY) and "oracle" in name


def policy_of(group: Group) -> CurveSummary | None:
    """The curve of the artifact's own table."""
    return next(
        (c for c in group.curves if c.name.startswith(POLICY) and not is_oracle(c.name)), None
    )


def measured_ways(group: Group) -> dict[Way, CurveSummary]:
    """The curves of the ways that were measured, the simplest way first."""
    found = {way: named(group, name) for way, name in WAYS.items()}
    return {way: curve for way, curve in found.items() if curve is not None and curve.points}


def headline(summary: Summary) -> Way | None:
    """The way that a page leads with: of the greatest saving; if none saves, the most accurate.

    Returns:
        None if no way was measured.
    """
    if summary.gain is not None:
        return summary.gain.way
    measured = measured_ways(summary.groups[0])
    return max(measured, key=lambda way: best(measured[way]).accuracy, default=None)


def named(group: Group, name: str) -> CurveSummary | None:
    """The curve of one method."""
    return next((curve for curve in group.curves if curve.name == name), None)


def best(curve: CurveSummary) -> CurvePoint:
    """The most accurate point, of equally accurate ones the cheapest."""
    return max(curve.points, key=lambda point: (point.accuracy, -point.generations))


def styles(names: Sequence[str], baseline: str, leading: str) -> dict[str, Style]:
    """A style for every method: the baseline and the leading method stand out, all others differ.

    Args:
        names: of the methods.
        baseline: name of the method that others are compared with.
        leading: name of the method that the page leads with.
    """
    found, others = {}, 0
    for name in names:
        strong = name in (baseline, leading)
        if name == baseline:
            found[name] = Style(COLOURS[1][1], "o", False, strong)
        elif name.startswith(POLICY):
            oracle = is_oracle(name)
            found[name] = Style(COLOURS[0][1], "d" if oracle else "o", oracle, strong)
        elif name in EARLY:
            found[name] = Style(COLOURS[2 + EARLY.index(name)][1], "o", False, strong)
        else:
            colour = COLOURS[4 + others % (len(COLOURS) - 4)][1]
            found[name] = Style(colour, MARKERS[others % len(MARKERS)], False, strong)
            others += 1
    return found
