"""What a calibration found, in numbers ready to be shown: the artifact's ``summary.json``.

Whatever made the artifact writes it, sampling or logs; `ttc report` draws it and computes nothing.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allocator.errors import InputError
from allocator.files import atomic_write, first_error
from runtime.artifact import SUMMARY

SCHEMA_VERSION: Literal[1] = 1


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Schema):
    """One budget of one method.

    Attributes:
        budget: generations a prompt may cost.
        generations: what was spent on average, pilots included.
        accuracy: share of prompts answered right, with its 95% interval over prompts.
    """

    budget: int
    generations: float
    accuracy: float
    low: float
    high: float


class Curve(_Schema):
    """Accuracy of one method, such as ``best-of-N weighted``, at ascending budgets."""

    name: str
    points: tuple[Point, ...]


class Group(_Schema):
    """Curves over all prompts, or over the prompts of one oracle bin.

    Attributes:
        name: ``all prompts``, or ``bin 1`` (the easiest) and so on.
        prompts: how many. Of logs, a prompt is measured on other samples in every replicate, and
            may be in several bins.
        easiest: the greatest measured pass@1 among them.
        hardest: the least.
        curves: one a method, the same methods in every group.
    """

    name: str
    prompts: int
    easiest: float
    hardest: float
    curves: tuple[Curve, ...]


class Reliability(_Schema):
    """Prompts of like predicted difficulty: mean predicted and measured pass@1, with interval."""

    predicted: float
    measured: float
    low: float
    high: float
    prompts: int


class PredictorSummary(_Schema):
    """How well difficulty is predicted, on prompts that the predictor had not seen.

    Attributes:
        pilots: pilot samples that it reads.
        rank_correlation: Spearman's, of predicted with measured pass@1.
        reliability: by ascending prediction.
        confusion: share of prompts by oracle bin (rows) and predicted bin (columns), easiest
            first; rows sum to 1.
    """

    pilots: int
    rank_correlation: float
    reliability: tuple[Reliability, ...]
    confusion: tuple[tuple[float, ...], ...]


class Gain(_Schema):
    """What allocation saves: generations of the baseline over those of compute-optimal.

    Attributes:
        accuracy: reached by both.
        generations: what compute-optimal spends for it, pilots included.
        baseline: what the baseline, best-of-N weighted as a rule, spends for it.
        times: the second over the first, with its 95% interval over prompts.
    """

    accuracy: float
    generations: float
    baseline: float
    times: float
    low: float
    high: float


class Summary(_Schema):
    """All of it.

    Attributes:
        source: what was measured, for people: a file's name, a model's.
        prompts: calibration prompts.
        samples: independent solutions a prompt.
        sampled_tokens: tokens sampled for the whole calibration.
        baseline: name of the curve that compute-optimal is compared with.
        groups: all prompts first, then the oracle bins from the easiest on.
        predictor: None where there was nothing to predict from.
        gain: None where compute-optimal nowhere reaches an accuracy of the baseline.
        warnings: what whoever uses the tables should know.
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
        """Write into an artifact folder; the file appears whole or not at all."""
        with atomic_write(folder / SUMMARY) as scratch:
            scratch.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Summary":
        """Read an artifact's summary back.

        Raises:
            InputError: there is none, or it is damaged.
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
