"""Logged answers read and compared by one of the library's readers: the same answer, written once.

A logged answer is a bare one as a rule, and a whole solution at times. Under ``math`` a text that
has a box or a ``####`` line is read as a solution, and any other is taken as it is: of the bare
answer ``x = 5, y = 6`` a reader of solutions would keep the last part. Under a pattern or a Python
file a text is read where that finds something.
"""

from collections.abc import Sequence

from runtime.answers import Answers, MathAnswers, answer_line, last_boxed


def canonicalized(
    answers: Answers,
    questions: Sequence[int],
    texts: Sequence[str | None],
    golds: Sequence[str],
) -> tuple[list[str | None], list[str]]:
    """Answers and gold answers, the same answer of one question always written the same way.

    Each text of a question is read and compared once, however many samples have it.

    Args:
        answers: reads and compares.
        questions: the question of each sample.
        texts: answers; None is none.
        golds: gold answers; those of one question are equal.

    Returns:
        The texts and the golds, as long as before.
    """
    found: dict[int, dict[str, None]] = {}
    for question, text, gold in zip(questions, texts, golds, strict=True):
        of_question = found.setdefault(question, {gold: None})
        if text is not None:
            of_question[text] = None
    read = {text: _read(answers, text) for of_question in found.values() for text in of_question}
    names: dict[int, dict[str, str | None]] = {
        question: dict(
            zip(
                of_question, answers.canonicalize([read[text] for text in of_question]), strict=True
            )
        )
        for question, of_question in found.items()
    }
    return (
        [
            None if text is None else names[question][text]
            for question, text in zip(questions, texts, strict=True)
        ],
        [str(names[question][gold]) for question, gold in zip(questions, golds, strict=True)],
    )


def _read(answers: Answers, text: str) -> str:
    """The answer that a logged text is or holds."""
    if isinstance(answers, MathAnswers) and (last_boxed(text) or answer_line(text)) is None:
        return text
    return answers.extract(text) or text
