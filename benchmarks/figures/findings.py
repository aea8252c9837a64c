"""Whether a finding of the paper holds here, decided by an interval and not by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures.drawing import Figure
from calibration.replay.curves import interval
from calibration.report.targets import Interval, Target, reported

Verdict = Literal["holds", "does not hold", "cannot be told apart"]


@dataclass(frozen=True)
class Finding:
    """A claim, as a figure that must lie above or below a bound.

    Attributes:
        claim: what the paper found, as far as it is measured here.
        measured: the figure, and its 95% interval over prompts.
        unit: ``points`` of accuracy (the figure is a share), or how many ``times``.
        bound: what the figure is compared with.
        below: whether it must lie below the bound.
    """

    claim: str
    measured: Interval
    unit: Literal["points", "times"] = "points"
    bound: float = 0.0
    below: bool = False

    @property
    def verdict(self) -> Verdict:
        """``holds`` where the whole interval lies on the claimed side of the bound."""
        _, low, high = self.measured
        if low > self.bound:
            return "does not hold" if self.below else "holds"
        if high < self.bound:
            return "holds" if self.below else "does not hold"
        return "cannot be told apart"

    @property
    def words(self) -> str:
        """The claim, the verdict and the figure."""
        if self.unit == "points":
            value, low, high = (100 * figure for figure in self.measured)
            figure = f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
        else:
            value, low, high = self.measured
            figure = f"{value:.1f} times [{low:.1f}, {high:.1f}]"
        return f"{self.claim}: {self.verdict}, {figure}"

    def row(self) -> dict[str, Any]:
        """The finding as it is written to JSON."""
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "measured": self.measured,
            "unit": self.unit,
        }

    def target(self, figure: str) -> Target:
        """The verdict as a figure among the benchmark's."""
        return reported(f"{figure}: {self.claim}: {self.verdict}", self.measured)


@dataclass(frozen=True)
class Reproduced:
    """A figure with its findings.

    Attributes:
        figure: the figure to draw.
        findings: the paper's findings, measured here.
        targets: further required figures.
        data: further measurements for the JSON.
    """

    figure: Figure
    findings: Sequence[Finding]
    targets: Sequence[Target] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


def sentence(figure: str, findings: Sequence[Finding]) -> str:
    """One sentence on a figure's findings: how many hold, and each of them."""
    verdicts: list[str] = [finding.verdict for finding in findings]
    counts = [
        f"{count} {one if count == 1 else more}"
        for verdict, one, more in (
            ("holds", "holds", "hold"),
            ("does not hold", "does not", "do not"),
            ("cannot be told apart", "cannot be told apart", "cannot be told apart"),
        )
        if (count := verdicts.count(verdict))
    ]
    parts = "; ".join(finding.words for finding in findings)
    return f"{figure}: {', '.join(counts)}: {parts}."


def mean_above(
    values: NDArray[np.float64],
    others: NDArray[np.float64],
    inside: NDArray[np.bool_],
    draws: NDArray[np.int64],
) -> Interval:
    """Mean difference of values and others over some of the prompts.

    Args:
        values: accuracy of each prompt, shape (prompts,).
        others: accuracy of the comparison, shape (prompts,).
        inside: mask of the prompts to average over, shape (prompts,).
        draws: bootstrap draws of all prompts, from `calibration.replay.curves.resamples`.
    """
    paired = np.where(inside, values - others, 0.0)
    # A draw of the prompts may hold more or fewer of those inside.
    return interval(paired[draws].sum(axis=1) / np.maximum(inside[draws].sum(axis=1), 1))
