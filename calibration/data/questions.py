"""Which questions an artifact was calibrated on, so that it is never tested on them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allocator.files import JsonArtifact

# Columns in which data sets and logs have the texts of prompts.
TEXTS = ("prompt", "question", "problem")
MIN_PROMPTS = 20  # of a calibration


class CalibratedOn(JsonArtifact):
    """The questions that an artifact was calibrated on.

    Attributes:
        digests: a hash of each name of each question, such as its number and its text: questions
            may be long, or not for everyone to read.
        columns: the columns that these names were in.
    """

    schema_version: Literal[1] = 1
    digests: frozenset[str]
    columns: frozenset[str]

    @classmethod
    def of(cls, names: Mapping[str, Sequence[str]]) -> "CalibratedOn":
        """The record of some questions.

        Args:
            names: their names, by column.
        """
        every = (name for column in names.values() for name in column if name)
        return cls(digests=frozenset(map(_digest, every)), columns=frozenset(names))

    def seen(self, names: Mapping[str, Sequence[str]]) -> NDArray[np.bool_] | None:
        """Which of some questions are among them, shape (questions,).

        Names are compared in the columns that both have. A question is known by its text if there
        is one among them: other data sets number their questions alike. Texts are also looked for
        in the other columns of texts: if any of them is known, all are compared by their texts.

        Args:
            names: their names, by column.

        Returns:
            None if it cannot be known, because the questions are named by other columns.
        """
        columns = self._compared(names)
        return self._seen(names, columns) if columns else None

    def compares_texts(self, names: Mapping[str, Sequence[str]]) -> bool:
        """Whether `seen` knows any of some questions by more than numbers.

        Args:
            names: their names, by column.
        """
        return any(_is_text(c, name) for c in self._compared(names) for name in names[c])

    def _compared(self, names: Mapping[str, Sequence[str]]) -> list[str]:
        """The columns by which `seen` compares some questions."""
        texts = [column for column in names if column in TEXTS]
        apart = self.columns & {*TEXTS} and not self.columns & {*texts}
        if apart and self._seen(names, texts).any():
            return texts
        return [column for column in names if column in self.columns]

    def _seen(
        self, names: Mapping[str, Sequence[str]], columns: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Which questions are among them, by their names in some columns."""
        questions = zip(*(names[column] for column in columns), strict=True)
        return np.array([self._holds(columns, own) for own in questions], dtype=bool)

    def _holds(self, columns: Sequence[str], names: Sequence[str]) -> bool:
        """Whether a question is among them, by its name in each column."""
        named = [(column, name) for column, name in zip(columns, names, strict=True) if name]
        texts = [name for column, name in named if _is_text(column, name)]
        return any(_digest(name) in self.digests for name in texts or [name for _, name in named])


def _is_text(column: str, name: str) -> bool:
    return column in TEXTS and bool(name) and not name.isdigit()


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
