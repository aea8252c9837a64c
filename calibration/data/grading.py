"""Logged answers, read and compared by an answer reader: equal answers become equal strings.

A logged answer is usually a bare answer, sometimes a whole solution. Under ``math`` a text with a
box or a ``####`` line is read as a solution, and any other is kept as it is: a reader of solutions
would keep only the last part of the bare answer ``x = 5, y = 6``. Under a pattern or a Python file
a text is replaced by the answer that is found in it, if any.
"""

from collections.abc import Sequence

from runtime.answers import Answers, MathAnswers, answer_line, last_boxed


def canonicalized(
    answers: Answers,
    questions: Sequence[int],
    texts: Sequence[str | None],
    golds: Sequence[str],
) -> tuple[list[str | None], list[str]]:
    """Answers and gold answers; equal answers to a question become equal strings.

    Each distinct text of a question is read and compared once.

    Args:
        answers: reads and compares answers.
        questions: the question of each sample.
        texts: logged answers; None where there is none.
        golds: gold answers; equal within a question.

    Returns:
        The texts and the gold answers, in the same order.
    """
    texts_of: dict[int, dict[str, None]] = {}
    for question, text, gold in zip(questions, texts, golds, strict=True):
        unique_texts = texts_of.setdefault(question, {gold: None})
        if text is not None:
            unique_texts[text] = None
    read = {
        text: _read(answers, text) for unique_texts in texts_of.values() for text in unique_texts
    }
    names: dict[int, dict[str, str | None]] = {
        question: dict(
            zip(
                unique_texts,
                answers.canonicalize([read[text] for text in unique_texts]),
                strict=True,
            )
        )
        for question, unique_texts in texts_of.items()
    }
    return (
        [
            None if text is None else names[question][text]
            for question, text in zip(questions, texts, strict=True)
        ],
        [str(names[question][gold]) for question, gold in zip(questions, golds, strict=True)],
    )


def _read(answers: Answers, text: str) -> str:
    """The answer in a logged text."""
    if isinstance(answers, MathAnswers) and (last_boxed(text) or answer_line(text)) is None:
        return text
    return answers.extract(text) or text
