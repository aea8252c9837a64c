"""The methods of a summary's curves: how each is found, and how it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.replay.curve_summary import CurvePoint, CurveSummary
from calibration.report.summary import Group

POLICY = "compute-optimal"

# Colour-blind safe after Okabe and Ito, darkened or lightened to 3:1 against the page:
# (name, on light, on dark). The policy's comes first, the baseline's second.
COLOURS = (
    ("c0", "#0072b2", "#56b4e9"),
    ("c1", "#d55e00", "#ff8f50"),
    ("c2", "#00805f", "#2fc79a"),
    ("c3", "#b0578c", "#e39bc8"),
    ("c4", "#9a6a00", "#e6b93c"),
    ("c5", "#6a7380", "#a3abb8"),
)
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


def named(group: Group, name: str) -> CurveSummary | None:
    """The curve of one method."""
    return next((curve for curve in group.curves if curve.name == name), None)


def best(curve: CurveSummary) -> CurvePoint:
    """The most accurate point, of equally accurate ones the cheapest."""
    return max(curve.points, key=lambda point: (point.accuracy, -point.generations))


def styles(names: Sequence[str], baseline: str) -> dict[str, Style]:
    """A style for every method: policy and baseline stand out, all others differ."""
    found, others = {}, 0
    for name in names:
        if name == baseline:
            found[name] = Style(COLOURS[1][1], "o", False, True)
        elif name.startswith(POLICY):
            oracle = is_oracle(name)
            found[name] = Style(COLOURS[0][1], "d" if oracle else "o", oracle, not oracle)
        else:
            colour = COLOURS[2 + others % (len(COLOURS) - 2)][1]
            found[name] = Style(colour, MARKERS[others % len(MARKERS)], False, False)
            others += 1
    return found
