"""What logged samples are like: pass@1 and length, with which those of a model are compared."""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from allocator.files import JsonArtifact
from allocator.schema import Schema
from calibration.data.sample_log import Log

NORMAL_95 = 1.96


class Figure(Schema):
    """A mean over questions, and its standard error."""

    mean: float
    error: float = Field(ge=0)

    @classmethod
    def of(cls, values: ArrayLike, least_error: float = 0.0) -> Self:
        """The mean of one value per question.

        Args:
            values: shape (questions,), at least two.
            least_error: the error is taken to be at least this.
        """
        each = np.asarray(values, dtype=float)
        error = float(each.std(ddof=1) / np.sqrt(len(each)))
        return cls(mean=float(each.mean()), error=max(error, least_error))

    @classmethod
    def of_shares(cls, values: ArrayLike) -> Self:
        """The same of shares. If all are equal, the mean is still not known exactly.

        Its error is then taken to be half a question's.
        """
        return cls.of(values, least_error=0.5 / np.size(values))

    @property
    def low(self) -> float:
        """Lower end of the 95% interval."""
        return self.mean - NORMAL_95 * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95% interval."""
        return self.mean + NORMAL_95 * self.error


class LoggedFigures(JsonArtifact):
    """What the samples of a log are like.

    Attributes:
        questions: number of questions.
        pass_at_1: share of a question's samples that are correct.
        tokens: tokens per sample; None where they were not logged.
    """

    schema_version: Literal[1] = 1
    questions: int = Field(ge=2)
    pass_at_1: Figure
    tokens: Figure | None = None

    @classmethod
    def of(cls, log: Log) -> "LoggedFigures":
        """The figures of a log."""
        tokens = None if log.tokens is None else Figure.of(log.tokens.sum(axis=1) / log.sizes)
        right = log.correct.sum(axis=1) / log.sizes
        return cls(questions=len(right), pass_at_1=Figure.of_shares(right), tokens=tokens)
