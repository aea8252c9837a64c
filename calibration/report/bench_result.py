"""The results of ``ttc bench`` in numbers: ``bench.json``, from which the page is drawn."""

from allocator.files import JsonArtifact
from allocator.schema import Schema
from allocator.table import Fingerprint
from calibration.replay.curve_summary import CurveSummary, Unit
from calibration.replay.ways import Way
from calibration.report.summary import Saving
from calibration.report.targets import Target, reported
from calibration.report.words import UNITS, count


class Times(Schema):
    """Cost of the baseline at a budget over a method's cost at the same accuracy, or near it.

    Attributes:
        method: the method's name.
        budget: budget of the baseline.
        share: 1 at the baseline's accuracy; less at this share of the way to it from the smallest
            budget's accuracy.
        unit: ``generations``, ``tokens`` or ``flops``.
        value: the ratio, 0 where the method never reaches the accuracy; `low` and `high` bound it
            (95%, over prompts).
    """

    method: str
    budget: int
    share: float = 1.0
    unit: Unit
    value: float
    low: float
    high: float


class Difference(Schema):
    """The policy's accuracy less the baseline's at a budget of the baseline, with its 95% interval.

    At equal cost: the policy is measured where it spends as many generations on average.
    """

    budget: int
    value: float
    low: float
    high: float


class Findings(JsonArtifact):
    """What was measured.

    Attributes:
        prompts: number of prompts measured.
        budgets: the measured budgets of the table, ascending.
        baseline: name of the method that others are compared with.
        policy: name of the curve of the way to spend that is measured.
        way: that way, if calibration leads with it; None if that is unknown, and the way is
            by bins.
        easiest: the highest share of right solutions of a prompt.
        hardest: the lowest.
        curves: one per method.
        gains: savings of every method at the upper budgets.
        differences: one per budget.
        saving: saving at the highest accuracy of the baseline that the policy reaches; None if it
            reaches none.
    """

    prompts: int
    budgets: tuple[int, ...]
    baseline: str
    policy: str
    way: Way | None
    easiest: float
    hardest: float
    curves: tuple[CurveSummary, ...]
    gains: tuple[Times, ...]
    differences: tuple[Difference, ...]
    saving: Saving | None

    def as_targets(self) -> tuple[Target, ...]:
        """Every figure in the form in which benchmarks report theirs, without targets."""
        found = [
            reported(f"{c.name}: accuracy at {p.budget}", (p.accuracy, p.low, p.high))
            for c in self.curves
            for p in c.points
            if p.budget in self.budgets
        ]
        found += [
            reported(
                f"{r.method}: saving at {r.budget}, in {UNITS[r.unit]}", (r.value, r.low, r.high)
            )
            for r in self.gains
            if r.share == 1
        ]
        found += [
            reported(
                f"{self.policy} less {self.baseline} at {r.budget}, in points",
                (100 * r.value, 100 * r.low, 100 * r.high),
            )
            for r in self.differences
        ]
        return tuple(found)


class BenchResult(Findings):
    """All of ``bench.json``.

    Attributes:
        source: the data set as the user named it.
        artifact: the artifact folder as the user named it.
        fingerprint: what the artifact's table was calibrated with.
        foreign: the differences from that fingerprint; empty unless forced.
        left_out: number of prompts that the artifact was calibrated on; None if unknown.
        notes: what else readers should know.
        resumed: number of prompts that an earlier run had sampled.
        engine: which engine sampled.
        samples: independent solutions of each prompt.
        searches: other plans run on each prompt.
        sampled_tokens: tokens sampled in all.
        seconds: duration of this run.
        seed: seed of all sampling.
        date: of the measurement.
        machine: its number of cores and processor.
        python: version of Python.
        versions: versions of packages.
        targets: every measured figure.
    """

    source: str
    artifact: str
    fingerprint: Fingerprint
    foreign: tuple[str, ...]
    left_out: int | None
    notes: tuple[str, ...] = ()
    resumed: int
    engine: str
    samples: int
    searches: tuple[str, ...]
    sampled_tokens: int
    seconds: float
    seed: int
    date: str
    machine: str
    python: str
    versions: dict[str, str]
    targets: tuple[Target, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Caveats that readers of the figures should know."""
        said = [f"The artifact was calibrated for something else: {why}." for why in self.foreign]
        said += self.notes
        if self.left_out is None:
            said.append(
                "The artifact does not say which of these prompts it was calibrated on, so prompts "
                "it has seen could not be left out."
            )
        elif self.left_out:
            prompts = count(self.left_out, "prompt")
            said.append(f"Left out: {prompts} that the artifact was calibrated on.")
        return tuple(said)
