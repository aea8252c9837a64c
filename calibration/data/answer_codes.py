"""Answers as numbers: 0 the correct one, 1 and more the wrong ones of a question, -1 for none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNANSWERED = -1
CORRECT = 0


def text_codes(values: Sequence[str | None]) -> NDArray[np.int64]:
    """Equal texts as equal numbers, in order of occurrence; None as `UNANSWERED`."""
    numbers: dict[str | None, int] = {None: UNANSWERED}
    return np.array([numbers.setdefault(value, len(numbers) - 1) for value in values])


def answer_codes(
    question: NDArray[np.int64], text: NDArray[np.int64], correct: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Answers numbered from 1 within each question; all correct ones are number 0.

    Args:
        question: the question of each answer, shape (answers,).
        text: its `text_codes`.
        correct: whether it is correct; not read where there is none.
    """
    answered = text != UNANSWERED
    wrong = ~correct & answered
    width = text.max(initial=0) + 1
    distinct, of = np.unique(question[wrong] * width + text[wrong], return_inverse=True)
    owner = distinct // width
    # Distinct pairs are sorted by question: the first of each question is number 1.
    first = np.searchsorted(owner, owner, side="left")
    answer = np.where(correct & answered, CORRECT, UNANSWERED)
    answer[wrong] = (np.arange(len(distinct)) - first + 1)[of]
    return answer
