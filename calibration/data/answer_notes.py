"""Notes on answers of a log that may count as wrong for how they are written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.data.answer_codes import UNANSWERED
from calibration.data.grading import answer_reader, are_solutions, canonicalized
from runtime.answers import answers_for
from runtime.answers.thought import KNOWN

# Thoughts from which on their last forced answers are compared with the final ones, and the share
# of equal ones below which these seem to be written in another way.
THOUGHTS, HARDLY_EVER = 20, 0.1


def forced_notes(
    answer: NDArray[np.int64], forced: NDArray[np.int64], cut: NDArray[np.bool_], by_letter: bool
) -> list[str]:
    """A note where the last forced answers of thoughts that ended hardly ever equal the final ones.

    Args:
        answer: the number of each sample's answer, shape (samples,).
        forced: those of its forced answers, shape (samples, depths).
        cut: whether each thought was cut off, shape (samples,).
        by_letter: whether they were compared letter by letter.
    """
    given = forced != UNANSWERED
    ended = ~cut & (answer != UNANSWERED) & given.any(axis=1)
    if ended.sum() < THOUGHTS:
        return []
    last = forced.shape[1] - 1 - given[ended][:, ::-1].argmax(axis=1)
    equal = int((np.take_along_axis(forced[ended], last[:, None], 1)[:, 0] == answer[ended]).sum())
    if equal >= HARDLY_EVER * ended.sum():
        return []
    return [
        f"of {ended.sum()} thoughts that ended, the last forced answer equals the final one in "
        f"{equal}: look at how both are written"
        + ("; --answers math reads answers out of sentences" if by_letter else "")
    ]


def value_notes(
    questions: Sequence[int], texts: Sequence[str | None], golds: Sequence[str]
) -> list[str]:
    """A note where a question's answers are never its gold one letter by letter, but are by value.

    Args:
        questions: the question of each sample.
        texts: its answer; None for none.
        golds: the gold answer of its question.
    """
    rows = list(zip(questions, texts, golds, strict=True))
    solved = {question for question, text, gold in rows if text == gold}
    others = dict.fromkeys(row for row in rows if row[1] is not None and row[0] not in solved)
    if not others:
        return []
    reader = answers_for("math", thoughts=KNOWN)
    read = answer_reader(reader, are_solutions(reader, texts))
    numbers, given, right = zip(*others, strict=True)
    found, gold = canonicalized(reader, numbers, [read(text) for text in given], right)
    compared = zip(numbers, found, gold, strict=True)
    if not (equal := {number for number, one, other in compared if one == other}):
        return []
    have = "1 question has" if len(equal) == 1 else f"{len(equal)} questions have"
    return [
        f"{have} answers that are never the gold one letter by letter, but equal it by value, and "
        "count as wrong: compare with --answers math"
    ]
