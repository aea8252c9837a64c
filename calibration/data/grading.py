"""Logged answers, read and compared by an answer reader: equal answers become equal strings.

A logged answer is usually a bare answer, sometimes a whole solution. Under ``math`` the column as a
whole tells: among whole solutions each text is read as one, and may have no answer. Among bare
answers a text with a box or a ``####`` line is read as a solution, and any other is kept as it is:
a reader of solutions would keep only the last part of the bare answer ``x = 5, y = 6``. Under a
pattern or a Python file a text is replaced by the answer that is found in it, if any.

An answer that was forced in mid-thought may be a short sentence, end the thought before it answers
or after that, or end a box that the prompt began.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache

from runtime.answers import Answers, MathAnswers, answer_line, last_boxed
from runtime.answers.thought import KNOWN

ENDS_OF_THOUGHTS = re.compile("|".join(re.escape(thought.end) for thought in KNOWN))


def are_solutions(answers: Answers, texts: Iterable[str | None]) -> bool:
    """Whether the texts of a column are whole solutions, and not bare answers.

    Most of the given ones then have several lines, a box or an answer line. Only ``math`` reads the
    two in different ways.
    """
    if not isinstance(answers, MathAnswers):
        return False
    given = [text.strip() for text in texts if text is not None]
    return 2 * sum(map(_is_solution, given)) > len(given)


def answer_reader(answers: Answers, solutions: bool) -> Callable[[str | None], str | None]:
    """What finds the answer in a logged text, reading each distinct text once.

    Args:
        answers: how solutions are read.
        solutions: whether every text is a whole solution; one in which no answer is found has none.
    """

    @cache
    def read(text: str | None) -> str | None:
        if text is None:
            return None
        return answers.extract(text) if solutions else _read(answers, text)

    return read


def forced_reader(
    answers: Answers, known: Collection[str | None]
) -> Callable[[str | None], str | None]:
    """What finds the answer in a text that was forced in mid-thought, reading each once.

    Args:
        answers: how solutions are read.
        known: gold answers and those of samples: under ``math`` texts that are among them are kept.
    """

    @cache
    def read(text: str | None) -> str | None:
        if text is None:
            return None
        as_math = isinstance(answers, MathAnswers)
        if as_math:
            text = _before_open_end(text) or text
        parts = [part.strip() for part in ENDS_OF_THOUGHTS.split(text)]
        text = next((part for part in reversed(parts) if part), text)
        if as_math and text in known:
            return text
        return answers.extract(text) or text

    return read


def _before_open_end(text: str) -> str:
    """The text before the first ``}`` that nothing in it has opened; all of it without one."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            return text[:place].strip()
    return text


def canonicalized(
    answers: Answers, questions: Sequence[int], given: Sequence[str | None], golds: Sequence[str]
) -> tuple[list[str | None], list[str]]:
    """Answers and gold answers; equal answers to a question become equal strings.

    Each distinct answer to a question is compared once.

    Args:
        answers: compares answers, and reads the gold ones.
        questions: the question of each sample.
        given: answers as `answer_reader` finds them; None where there is none.
        golds: logged gold answers; equal within a question.

    Returns:
        The answers and the gold answers, in the same order.
    """
    right = {gold: _read(answers, gold) for gold in dict.fromkeys(golds)}
    answers_of: dict[int, dict[str, None]] = {}
    for question, answer, gold in zip(questions, given, golds, strict=True):
        distinct = answers_of.setdefault(question, {right[gold]: None})
        if answer is not None:
            distinct[answer] = None
    names: dict[int, dict[str, str | None]] = {
        question: dict(zip(distinct, answers.canonicalize(list(distinct)), strict=True))
        for question, distinct in answers_of.items()
    }
    compared = [
        None if answer is None else names[question][answer]
        for question, answer in zip(questions, given, strict=True)
    ]
    gold_names = [
        str(names[question][right[gold]]) for question, gold in zip(questions, golds, strict=True)
    ]
    return compared, gold_names


def _read(answers: Answers, text: str) -> str:
    """The answer in a text that may be a bare one."""
    if isinstance(answers, MathAnswers) and not _marks_answer(text):
        return text
    return answers.extract(text) or text


def _is_solution(text: str) -> bool:
    return "\n" in text or _marks_answer(text)


def _marks_answer(text: str) -> bool:
    """Whether a text has a box or an answer line."""
    return (last_boxed(text) or answer_line(text)) is not None
