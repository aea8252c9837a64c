"""The methods of a summary's curves: how each is found, and how it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.replay.curve_summary import CurvePoint, CurveSummary
from calibration.replay.ways import PRICE, TOTAL, WAYS, Way
from calibration.report.summary import Group, Summary
from runtime.artifact import SUMMARY
from runtime.artifact.plot import COLOURS

POLICY = "compute-optimal"
# Smallest gain in accuracy that counts.
NOTABLE = 0.01
# Share of a way's gain over one solution that a baseline of little use gains at most.
HARDLY = 0.25

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
    """The way that a page leads with: of the greatest saving; the most accurate if none saves, or
    if it is beyond the baseline.

    Returns:
        None if no way was measured.
    """
    if summary.gain is not None and beyond(summary) is None:
        return summary.gain.way
    measured = measured_ways(summary.groups[0])
    return max(measured, key=lambda way: best(measured[way]).accuracy, default=None)


def leading_way(folder: Path) -> Way | None:
    """The way that an artifact's page leads with.

    Returns:
        None where the ways were not compared: there is no summary, or an older version wrote it.

    Raises:
        InputError: a damaged summary.
    """
    if not (folder / SUMMARY).is_file():
        return None
    summary = Summary.load(folder)
    return None if summary.gain is not None and not summary.ways else headline(summary)


def leading_generations(summary: Summary) -> float | None:
    """What the way that a page leads with spends per prompt there; None if there is no saving."""
    if (found := beyond(summary)) is not None:
        return found.point.generations
    return None if summary.gain is None else summary.gain.generations


@dataclass(frozen=True)
class Beyond:
    """A method that is beyond what the baseline reaches.

    Attributes:
        name: the method's.
        point: its cheapest point that is about as accurate as any of it.
        most: the greatest accuracy of the baseline.
    """

    name: str
    point: CurvePoint
    most: float


def beyond(summary: Summary, policy: str | None = None) -> Beyond | None:
    """The most accurate way, where it is beyond the baseline.

    That is, where more solutions hardly help the baseline: what a way saves at its accuracy says
    little of what the way is good for.

    Args:
        summary: what was measured.
        policy: name of the one curve to look at; None looks at all ways to spend.
    """
    everyone = summary.groups[0]
    curves = [*measured_ways(everyone).values()] if policy is None else [named(everyone, policy)]
    measured = [curve for curve in curves if curve is not None and curve.points]
    baseline = named(everyone, summary.baseline)
    if not measured or baseline is None or not baseline.points:
        return None
    top = max(measured, key=lambda curve: best(curve).accuracy)
    reached, most = best(top).accuracy, best(baseline).accuracy
    one = min(baseline.points, key=lambda point: point.generations).accuracy
    if reached - most <= NOTABLE or most - one > HARDLY * (reached - one):
        return None
    enough = [point for point in top.points if point.accuracy >= reached - NOTABLE]
    return Beyond(top.name, min(enough, key=lambda point: point.generations), most)


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
