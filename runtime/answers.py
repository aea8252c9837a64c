"""Reading the final answer off a solution, and telling whether two answers are the same."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from allocator.errors import InputError

MAX_CHARACTERS = 2000


class Answers(Protocol):
    """How a task's answers are read and compared."""

    def extract(self, text: str) -> str | None:
        """The final answer of a solution, None where there is none."""
        ...

    def same(self, answer: str, other: str) -> bool:
        """Whether two answers are the same."""
        ...


class PatternAnswers:
    """Answers found by a regular expression and compared letter by letter.

    Args:
        pattern: its first group is the answer; the last match in a solution counts.

    Raises:
        InputError: not a regular expression, or one without a group.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise InputError("answers", pattern, f"not a regular expression: {error}") from None
        if self._pattern.groups < 1:
            raise InputError("answers", pattern, "put the answer in a group, as in '#(.+)'")

    def extract(self, text: str) -> str | None:
        found = self._pattern.findall(text)
        if not found:
            return None
        return str(found[-1] if self._pattern.groups == 1 else found[-1][0])

    def same(self, answer: str, other: str) -> bool:
        return answer == other


class MathAnswers:
    """Mathematics: boxed or last expressions, compared as mathematics by math-verify."""

    def extract(self, text: str) -> str | None:
        parsed = _parse(text)
        return str(parsed[-1]) if parsed else None

    def same(self, answer: str, other: str) -> bool:
        from math_verify import verify

        return answer == other or bool(
            verify(list(_parse(answer)), list(_parse(other)), timeout_seconds=None)
        )


@lru_cache(maxsize=65536)
def _parse(text: str) -> tuple[object, ...]:
    from math_verify import parse

    # Without math-verify's time limits: they work by signals, which only the main thread may use.
    # The answer stands at the end, and a bounded text keeps parsing quick.
    text = text[-MAX_CHARACTERS:]
    parsed = parse(text, parsing_timeout=None)
    return tuple(parsed or parse(f"${text}$", parsing_timeout=None))


def answers_for(name: str) -> Answers:
    """The reader of a task's answers: ``math``, or ``pattern:`` and a regular expression.

    Raises:
        InputError: neither of them.
    """
    if name == "math":
        return MathAnswers()
    if name.startswith("pattern:"):
        return PatternAnswers(name.removeprefix("pattern:"))
    raise InputError("answers", name, "give 'math', or 'pattern:' and a regular expression")


def unify(answers: Answers, found: Sequence[str | None]) -> list[str | None]:
    """Write the same answer the same way: each becomes the first one seen that equals it."""
    first: list[str] = []
    unified: list[str | None] = []
    for answer in found:
        if answer is None:
            unified.append(None)
            continue
        match = next((known for known in first if answers.same(known, answer)), None)
        if match is None:
            first.append(answer)
        unified.append(answer if match is None else match)
    return unified
