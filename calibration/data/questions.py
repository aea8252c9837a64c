"""Which questions an artifact was calibrated on, so that it is never tested on them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allocator.files import JsonArtifact


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

        Args:
            names: their names, by column.

        Returns:
            None if it cannot be known, because the questions are named by other columns.
        """
        if not self.columns & set(names):
            return None
        held = [
            [bool(name) and _digest(name) in self.digests for name in column]
            for column in names.values()
        ]
        return np.asarray(np.any(held, axis=0))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
