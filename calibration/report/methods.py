"""The methods of a summary's curves: how each is found, and how it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.replay.curve_summary import CurvePoint, CurveSummary
from calibration.replay.ways import PRICE, TOTAL, WAYS, Way
from calibration.report.savings import NOTABLE, is_beyond
from calibration.report.summary import Group, Summary
from runtime.artifact import SUMMARY
from runtime.artifact.plot import COLOURS

POLICY = "compute-optimal"
MAJORITY = "majority"

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


def stored_baseline(folder: Path) -> str | None:
    """The method that an artifact's calibration compares the ways to spend with.

    Returns:
        None where there is no summary.

    Raises:
        InputError: a damaged summary.
    """
    return Summary.load(folder).baseline if (folder / SUMMARY).is_file() else None


def stored_baseline_score(folder: Path) -> str | None:
    """The logged score that weighs the baseline's votes, see `Summary.baseline_score`.

    Returns:
        None where it is unknown.

    Raises:
        InputError: a damaged summary.
    """
    return Summary.load(folder).baseline_score if (folder / SUMMARY).is_file() else None


def leading_generations(summary: Summary) -> float | None:
    """What the way that a page leads with spends per prompt there; None if no figure is led by."""
    if summary.gain is not None:
        return summary.gain.generations
    found = beyond(summary)
    return None if found is None else found.point.generations


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
    """The most accurate way, where it is beyond the baseline; see `savings.is_beyond`.

    Args:
        summary: what was measured.
        policy: name of the one curve to look at; None looks at all ways to spend.

    Returns:
        None where there is a saving, too.
    """
    everyone = summary.groups[0]
    curves = [*measured_ways(everyone).values()] if policy is None else [named(everyone, policy)]
    measured = [curve for curve in curves if curve is not None and curve.points]
    baseline = named(everyone, summary.baseline)
    if summary.gain is not None or not measured or baseline is None or not baseline.points:
        return None
    top, first = max(measured, key=lambda curve: best(curve).accuracy), baseline.points[0]
    reached, most = best(top).accuracy, best(baseline).accuracy
    if first.budget != 1 or not is_beyond(first.accuracy, most, reached):
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
