"""A calibration's results in numbers, ready to be shown: the artifact's ``summary.json``.

Calibration writes it, from samples or from logs; `ttc report` draws it without computing anything.
"""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field

from allocator import migrate
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.schema import Schema
from calibration.replay.cap_table import CapRow
from calibration.replay.curve_summary import CurveSummary
from calibration.replay.ways import PRICE, TOTAL, Way
from runtime.artifact import SUMMARY


class Group(Schema):
    """Curves over all prompts, or over the prompts of one oracle bin.

    Attributes:
        name: ``all prompts``, or ``bin 1`` (the easiest) and so on.
        prompts: number of prompts. In logs, a prompt is measured on different samples in every
            replicate, and may be in several bins.
        easiest: the highest measured pass@1 among them.
        hardest: the lowest.
        curves: one per method. The ways that stop early, by price and within one total, are
            measured over all prompts only.
    """

    name: str
    prompts: int
    easiest: float
    hardest: float
    curves: tuple[CurveSummary, ...]

    @property
    def budgets(self) -> list[float]:
        """The table's budgets, ascending; ways that stop early have points between them too."""
        of_table = [curve for curve in self.curves if curve.name not in (PRICE, TOTAL)]
        return sorted({point.budget for curve in of_table for point in curve.points})


class Reliability(Schema):
    """Prompts of similar predicted difficulty: mean predicted and measured pass@1 with interval."""

    predicted: float
    measured: float
    low: float
    high: float
    prompts: int


class PredictorSummary(Schema):
    """Quality of predicted difficulty, on prompts that the predictor had not seen.

    Attributes:
        pilots: number of pilot samples it reads.
        rank_correlation: Spearman's, of predicted with measured pass@1.
        reliability: groups of prompts by ascending prediction.
        confusion: share of prompts by oracle bin (rows) and predicted bin (columns), easiest
            first; rows sum to 1, or to 0 where the bin is empty.
        measured_by: samples that measure a prompt's pass@1; None in older files. Few measure it so
            roughly that even perfect predictions correlate with it weakly.
    """

    pilots: int
    rank_correlation: float
    reliability: tuple[Reliability, ...]
    confusion: tuple[tuple[float, ...], ...]
    measured_by: int | None = None


class CostSaving(Schema):
    """What a way saves in tokens or in FLOPs, at the accuracy of its `Saving`.

    Attributes:
        spent: tokens or FLOPs per prompt that the way spends for it, pilots included.
        baseline: those that the baseline spends for it.
        times: `baseline` over `spent`, with its 95% interval over prompts.
    """

    # Before FLOPs were counted, the field was named after the unit.
    spent: float = Field(validation_alias=AliasChoices("spent", "tokens"))
    baseline: float
    times: float
    low: float
    high: float


class Saving(Schema):
    """The saving of one way to spend: generations of the baseline over those of the way.

    Attributes:
        way: by difficulty bins, by price, or one total over all prompts.
        accuracy: accuracy that both reach.
        generations: generations per prompt that the way spends for it, pilots included.
        baseline: generations per prompt that the baseline, see `Summary.baseline`, spends for it.
        times: `baseline` over `generations`, with its 95% interval over prompts.
        tokens: the same in tokens; None where they were not counted.
        flops: the same in FLOPs; likewise.
    """

    way: Way
    accuracy: float
    generations: float
    baseline: float
    times: float
    low: float
    high: float
    tokens: CostSaving | None = None
    flops: CostSaving | None = None


class Summary(JsonArtifact):
    """All results of a calibration.

    Attributes:
        source: name of what was measured, for people: of a file or a model.
        prompts: number of calibration prompts.
        samples: independent solutions per prompt.
        sampled_tokens: tokens sampled for the whole calibration.
        baseline: name of the curve that the ways are compared with, see
            `calibration.report.summarise.stronger_baseline`.
        baseline_score: of logged scores the one that weighs the votes of best-of-N weighted, see
            `calibration.fitting.log_scoring.baseline_score`; None where none was logged.
        groups: all prompts first, then the oracle bins from the easiest on.
        predictor: quality of the predictor; None where there was nothing to predict from.
        ways: the savings at the highest accuracy of the baseline that any way reaches, of the ways
            that reach it, the simplest first; empty if an older version wrote the summary.
        gain: the largest of these; None where no way reaches an accuracy of the baseline.
            It is the best of three on the same prompts, which its interval does not include.
        warnings: caveats for users of the tables.
        caps: what each cap on thinking tokens leads to; empty where no thoughts were logged.
    """

    MIGRATIONS = migrate.SUMMARY

    schema_version: Literal[2] = 2
    source: str
    prompts: int
    samples: int
    sampled_tokens: int
    baseline: str = "best-of-N weighted"
    baseline_score: str | None = None
    groups: tuple[Group, ...] = Field(min_length=1)
    predictor: PredictorSummary | None = None
    ways: tuple[Saving, ...] = ()
    gain: Saving | None = None
    warnings: tuple[str, ...] = ()
    caps: tuple[CapRow, ...] = ()

    @property
    def cheapest(self) -> Way | None:
        """The way of the greatest saving; None where the ways were not compared."""
        return self.gain.way if self.gain is not None and self.ways else None

    def save(self, folder: Path) -> None:
        """Write into an artifact folder, atomically."""
        super().save(folder / SUMMARY)

    @classmethod
    def load(cls, folder: Path) -> "Summary":
        """Read an artifact's summary back.

        Raises:
            InputError: there is no summary, or it is damaged.
        """
        if not (folder / SUMMARY).is_file():
            raise InputError("artifact", str(folder), f"it has no {SUMMARY}; calibrate again")
        return super().load(folder / SUMMARY)
