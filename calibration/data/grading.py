"""Logged answers, read and compared by an answer reader: equal answers become equal strings.

A logged answer is usually a bare answer, sometimes a whole solution. Under ``math`` a text with a
box or a ``####`` line is read as a solution, and any other is kept as it is: a reader of solutions
would keep only the last part of the bare answer ``x = 5, y = 6``. Under a pattern or a Python file
a text is replaced by the answer that is found in it, if any.
"""

from collections.abc import Sequence
from functools import partial

from runtime.answers import Answers, MathAnswers, answer_line, last_boxed


def canonicalized(
    answers: Answers,
    questions: Sequence[int],
    texts: Sequence[str | None],
    golds: Sequence[str],
    solutions: bool = False,
) -> tuple[list[str | None], list[str]]:
    """Answers and gold answers; equal answers to a question become equal strings.

    Each distinct text is read once, and each distinct answer to a question compared once.

    Args:
        answers: reads and compares answers.
        questions: the question of each sample.
        texts: logged answers; None where there is none.
        golds: gold answers; equal within a question.
        solutions: whether every text is a whole solution; one in which no answer is found has none.

    Returns:
        The texts and the gold answers, in the same order.
    """
    read = answers.extract if solutions else partial(_read, answers)
    found = {text: read(text) for text in dict.fromkeys(texts) if text is not None}
    right = {gold: _read(answers, gold) for gold in dict.fromkeys(golds)}
    given = [None if text is None else found[text] for text in texts]
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
    """The answer in a logged text."""
    if isinstance(answers, MathAnswers) and (last_boxed(text) or answer_line(text)) is None:
        return text
    return answers.extract(text) or text
