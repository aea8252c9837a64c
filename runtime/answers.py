"""Reading the final answer off a solution, and telling whether two answers are the same."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from allocator.errors import InputError
from runtime.graders import PythonAnswers, grader_file

MAX_CHARACTERS = 2000

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(?=[^\s{]))")
_ANSWER_LINE = re.compile(r"^####\s*(-?[\d,]*\.?\d+)\s*$", re.MULTILINE)
_TEXT = re.compile(r"\\(?:text|textbf|textit|mbox|mathrm)\s*\{([^{}]*)\}")
# White space between digits stays: "1 1/2" is not 11/2.
_SETTING = re.compile(
    r"\\(?:left|right)(?![A-Za-z])|\\[!,;: ]|\\?%|\^\{?\\circ\}?|\$|(?<!\d)\s+|\s+(?!\d)"
)


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
    """Mathematics: what is boxed, else a GSM8K answer line, else the last expression.

    Answers are compared as MATH compares them, letter by letter but for how they are set; where
    that finds a difference, as mathematics by math-verify.
    """

    def extract(self, text: str) -> str | None:
        # The answer stands at the end, and a bounded text keeps parsing quick.
        text = text[-MAX_CHARACTERS:]
        marked = last_boxed(text) or answer_line(text)
        if marked is not None:
            return marked
        parsed = _parse(text)
        return str(parsed[-1]) if parsed else None

    def same(self, answer: str, other: str) -> bool:
        from math_verify import verify

        if _unset(answer) == _unset(other):
            return True
        # Boxed, so that the whole of it is read: of the bare 6p^4-4, math-verify reads the 6.
        values = [list(_parse(rf"\boxed{{{one}}}")) for one in (answer, other)]
        return bool(verify(*values, timeout_seconds=None))


def last_boxed(text: str) -> str | None:
    r"""What the last whole ``\boxed{...}`` or ``\fbox{...}`` holds: MATH's answer.

    MATH also writes ``\boxed 5``. None where nothing is boxed, or nothing in the box.
    """
    for box in reversed(list(_BOX.finditer(text))):
        inside = text[box.end() :]
        if box[0][-1] == "{":
            depth = 1
            for end, letter in enumerate(inside):
                depth += (letter == "{") - (letter == "}")
                if depth == 0:
                    return " ".join(inside[:end].split()) or None
        elif bare := re.match(r"[^$\s{}]+", inside):
            return bare[0]
    return None


def answer_line(text: str) -> str | None:
    """The number of the last line ``#### N``, commas left out: GSM8K's answer; None without one."""
    found = _ANSWER_LINE.findall(text)
    return str(found[-1]).replace(",", "") if found else None


def _unset(answer: str) -> str:
    """An answer without what only sets it: spaces, sizes, text boxes, degree and per cent signs."""
    return _SETTING.sub("", _TEXT.sub(r"\1", answer)).replace("\\\\", "\\")


@lru_cache(maxsize=65536)
def _parse(text: str) -> tuple[object, ...]:
    from math_verify import parse

    # Without math-verify's time limits: they work by signals, which only the main thread may use.
    return tuple(parse(text, parsing_timeout=None))


def answers_for(name: str, base: Path = Path()) -> Answers:
    """The reader of a task's answers.

    Args:
        name: ``math``; ``pattern:`` and a regular expression; or ``python:`` and a file, which is
            run, see `runtime.graders`.
        base: a relative file counts from here, or from the working folder.

    Raises:
        InputError: none of them.
    """
    if name == "math":
        return MathAnswers()
    if name.startswith("pattern:"):
        return PatternAnswers(name.removeprefix("pattern:"))
    if (file := grader_file(name, base)) is not None:
        return PythonAnswers(file)
    raise InputError(
        "answers",
        name,
        "give 'math', 'pattern:' and a regular expression, or 'python:' and a file",
    )


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
