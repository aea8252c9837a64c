"""Answers: extraction from solutions, and comparison."""

from collections.abc import Sequence
from pathlib import Path

from allocator.errors import InputError
from runtime.answers.extraction import answer_line, last_boxed
from runtime.answers.graders import PythonAnswers, grader_file
from runtime.answers.json_answers import JsonAnswers
from runtime.answers.readers import (
    DEADLINE,
    DEFAULT_CHOICES,
    Answers,
    ChoiceAnswers,
    MathAnswers,
    PatternAnswers,
)
from runtime.answers.thought import THINK, Thought

__all__ = [
    "Answers",
    "ChoiceAnswers",
    "JsonAnswers",
    "MathAnswers",
    "PatternAnswers",
    "PythonAnswers",
    "answer_line",
    "answers_for",
    "last_boxed",
]

CHOICES, JSON = "choices", "json"


def answers_for(
    name: str,
    base: Path = Path(),
    seconds: float = DEADLINE,
    thoughts: Sequence[Thought] = (THINK,),
) -> Answers:
    """The reader of a task's answers.

    Args:
        name: ``math``; ``choices``, or ``choices:4`` where there are 4; ``json``, or
            ``json:result.total`` where one field is the answer; ``pattern:`` and a regular
            expression; or ``python:`` and a file, which is run, see `runtime.answers.graders`.
        base: a relative file counts from here, or from the working folder.
        seconds: deadline of one comparison.
        thoughts: marks of thoughts, after which solutions are read.

    Raises:
        InputError: none of them, or a deadline that is not positive.
    """
    if not seconds > 0:
        raise InputError("answer_timeout", seconds, "must be positive, in seconds")
    kind, _, rest = name.partition(":")
    if name == "math":
        return MathAnswers(seconds, thoughts)
    if kind == CHOICES and (rest.isdecimal() or name == CHOICES):
        return ChoiceAnswers(int(rest or DEFAULT_CHOICES), thoughts)
    if kind == JSON and (rest or name == JSON):
        return JsonAnswers(rest.split(".") if rest else (), thoughts)
    if kind == "pattern" and rest:
        return PatternAnswers(rest, thoughts)
    if (file := grader_file(name, base)) is not None:
        return PythonAnswers(file, seconds, thoughts)
    raise InputError(
        "answers",
        name,
        "must be math, choices, choices:NUMBER, pattern: and a regular expression, json, "
        "json:FIELD, or python: and a file",
    )
