"""What ``ttc bench`` found, in numbers: its ``bench.json``, which the page is drawn from."""

from pydantic import BaseModel, ConfigDict

from allocator.files import JsonArtifact
from allocator.table import Fingerprint
from calibration.replay.curve_summary import CurveSummary
from calibration.report.summary import Gain
from calibration.report.targets import Target, reported
from calibration.report.words import count


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Times(_Row):
    """How many times less a method spends than the baseline at a budget, at its accuracy.

    Attributes:
        method: the method's name.
        budget: the baseline's.
        unit: ``generations`` or ``tokens``.
        value: the baseline's cost over the method's, 0 where the method never gets there; `low`
            and `high` bound it (95%, over prompts).
    """

    method: str
    budget: int
    unit: str
    value: float
    low: float
    high: float


class Difference(_Row):
    """Compute-optimal's accuracy less the baseline's at a budget, with its 95% interval."""

    budget: int
    value: float
    low: float
    high: float


class Findings(JsonArtifact):
    """What was measured.

    Attributes:
        prompts: how many prompts it was measured on.
        budgets: the table's that were measured, ascending.
        baseline: name of the method that others are compared with.
        policy: name of compute-optimal's curve.
        easiest: the greatest share of right solutions that a prompt has.
        hardest: the least.
        curves: one a method.
        gains: of every method at the greater budgets.
        differences: one a budget.
        saving: where compute-optimal reaches an accuracy of the baseline: the greatest such.
    """

    prompts: int
    budgets: tuple[int, ...]
    baseline: str
    policy: str
    easiest: float
    hardest: float
    curves: tuple[CurveSummary, ...]
    gains: tuple[Times, ...]
    differences: tuple[Difference, ...]
    saving: Gain | None

    def as_targets(self) -> tuple[Target, ...]:
        """Every figure, in the form in which benchmarks report theirs; none has to be met."""
        found = [
            reported(f"{c.name}: accuracy at {p.budget}", (p.accuracy, p.low, p.high))
            for c in self.curves
            for p in c.points
        ]
        found += [
            reported(f"{r.method}: gain at {r.budget}, in {r.unit}", (r.value, r.low, r.high))
            for r in self.gains
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
        source: the data set, as it was named.
        artifact: the artifact's folder, as it was named.
        fingerprint: what the artifact's table was calibrated with.
        foreign: what of it is no longer so; empty unless forced.
        left_out: prompts that the artifact was calibrated on; None if it does not tell.
        resumed: prompts that an earlier run had sampled.
        engine: which engine sampled.
        samples: independent solutions of each prompt.
        searches: other plans that were run on each.
        sampled_tokens: tokens sampled in all.
        seconds: what this run took.
        seed: determines every sample.
        date: of the measurement.
        machine: its cores.
        python: version.
        versions: of packages.
        targets: what was measured, figure by figure.
    """

    source: str
    artifact: str
    fingerprint: Fingerprint
    foreign: tuple[str, ...]
    left_out: int | None
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
        """What whoever reads the figures should know first."""
        said = [f"The artifact was calibrated for something else: {why}." for why in self.foreign]
        if self.left_out is None:
            said.append(
                "The artifact does not hold the samples it was calibrated on, so prompts it has "
                "seen could not be left out."
            )
        elif self.left_out:
            prompts = count(self.left_out, "prompt")
            said.append(f"Left out: {prompts} that the artifact was calibrated on.")
        return tuple(said)
