"""Which questions an artifact was calibrated on, so that it is never tested on them."""

import hashlib
from collections.abc import Iterable
from typing import Literal

from allocator.files import JsonArtifact


class CalibratedOn(JsonArtifact):
    """The questions that an artifact was calibrated on.

    Attributes:
        digests: a hash of each question: questions may be long, or not for everyone to read.
    """

    schema_version: Literal[1] = 1
    digests: frozenset[str]

    @classmethod
    def of(cls, questions: Iterable[str]) -> "CalibratedOn":
        """The record of some questions."""
        return cls(digests=frozenset(map(_digest, questions)))

    def holds(self, question: str) -> bool:
        """Whether a question is one of them."""
        return _digest(question) in self.digests


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:16]
