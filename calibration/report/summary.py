"""A calibration's results in numbers, ready to be shown: the artifact's ``summary.json``.

Calibration writes it, from samples or from logs; `ttc report` draws it without computing anything.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allocator.errors import InputError
from allocator.files import atomic_write, first_error
from calibration.replay.curve_summary import CurveSummary
from runtime.artifact import SUMMARY

SCHEMA_VERSION: Literal[1] = 1


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(_Schema):
    """Curves over all prompts, or over the prompts of one oracle bin.

    Attributes:
        name: ``all prompts``, or ``bin 1`` (the easiest) and so on.
        prompts: number of prompts. In logs, a prompt is measured on different samples in every
            replicate, and may be in several bins.
        easiest: the highest measured pass@1 among them.
        hardest: the lowest.
        curves: one per method, the same methods in every group.
    """

    name: str
    prompts: int
    easiest: float
    hardest: float
    curves: tuple[CurveSummary, ...]


class Reliability(_Schema):
    """Prompts of similar predicted difficulty: mean predicted and measured pass@1 with interval."""

    predicted: float
    measured: float
    low: float
    high: float
    prompts: int


class PredictorSummary(_Schema):
    """Quality of predicted difficulty, on prompts that the predictor had not seen.

    Attributes:
        pilots: number of pilot samples it reads.
        rank_correlation: Spearman's, of predicted with measured pass@1.
        reliability: groups of prompts by ascending prediction.
        confusion: share of prompts by oracle bin (rows) and predicted bin (columns), easiest
            first; rows sum to 1.
    """

    pilots: int
    rank_correlation: float
    reliability: tuple[Reliability, ...]
    confusion: tuple[tuple[float, ...], ...]


class Gain(_Schema):
    """The saving of allocation: generations of the baseline over those of compute-optimal.

    Attributes:
        accuracy: accuracy that both reach.
        generations: generations that compute-optimal spends for it, pilots included.
        baseline: generations that the baseline, usually best-of-N weighted, spends for it.
        times: `baseline` over `generations`, with its 95% interval over prompts.
    """

    accuracy: float
    generations: float
    baseline: float
    times: float
    low: float
    high: float


class Summary(_Schema):
    """All results of a calibration.

    Attributes:
        source: name of what was measured, for people: of a file or a model.
        prompts: number of calibration prompts.
        samples: independent solutions per prompt.
        sampled_tokens: tokens sampled for the whole calibration.
        baseline: name of the curve that compute-optimal is compared with.
        groups: all prompts first, then the oracle bins from the easiest on.
        predictor: quality of the predictor; None where there was nothing to predict from.
        gain: the saving; None where compute-optimal reaches no accuracy of the baseline.
        warnings: caveats for users of the tables.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    source: str
    prompts: int
    samples: int
    sampled_tokens: int
    baseline: str = "best-of-N weighted"
    groups: tuple[Group, ...] = Field(min_length=1)
    predictor: PredictorSummary | None = None
    gain: Gain | None = None
    warnings: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Write into an artifact folder, atomically."""
        with atomic_write(folder / SUMMARY) as scratch:
            scratch.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Summary":
        """Read an artifact's summary back.

        Raises:
            InputError: there is no summary, or it is damaged.
        """
        path = folder / SUMMARY
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError:
            raise InputError(
                "artifact", str(folder), f"it has no {SUMMARY}; calibrate again"
            ) from None
        except (ValidationError, UnicodeDecodeError) as error:
            raise InputError(
                "artifact", str(path), f"damaged; calibrate again ({first_error(error)})"
            ) from None
