"""The answers of a log's rows, graded and numbered within their questions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.data.answer_codes import answer_codes, text_codes
from calibration.data.cells import as_text, as_truth, is_blank
from calibration.data.grading import canonicalized
from calibration.data.log_rows import LogRows
from calibration.data.log_thoughts import Probed
from runtime.answers import Answers
from runtime.answers.thought import KNOWN, after_thought


def needed(cell: object) -> str:
    """A cell that must hold something, as text."""
    if is_blank(cell):
        raise ValueError("must not be blank")
    return as_text(cell)


def graded(
    rows: LogRows, questions: NDArray[np.int64], probed: Probed | None, reader: Answers | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The answer of each sample, and those forced in mid-thought, numbered within questions.

    Args:
        rows: the rows; a note is added where thoughts have not ended.
        questions: the question of each.
        probed: the forced answers; None for none.
        reader: reads and compares answers; None for exact strings.

    Returns:
        Shapes (rows,) and (rows, depths).

    Raises:
        InputError: a cell that cannot be used.
    """
    texts = rows.parsed("answer", _answer)
    if reader is not None:
        texts = _concluded(texts, rows.notes)
    depths = 0 if probed is None else len(probed.depths)
    # All answers of a sample, the natural one first: equal ones get equal numbers.
    every = [[text] for text in texts]
    if probed is not None:
        every = [[text, *forced] for text, forced in zip(texts, probed.answers, strict=True)]
    flat = [text for of_sample in every for text in of_sample]
    owners = np.repeat(questions, depths + 1)
    if "correct" in rows.names and reader is None:
        right = rows.parsed("correct", as_truth)
        named = zip(questions.tolist(), texts, strict=True)
        known = {pair for pair, is_right in zip(named, right, strict=True) if is_right}
        if probed is not None:
            numbers = dict(zip(rows.parsed("question", str), questions.tolist(), strict=True))
            known |= {(numbers[name], text) for name, text in probed.right}
        correct = np.array([pair in known for pair in zip(owners.tolist(), flat, strict=True)])
        correct[:: depths + 1] = right
    else:
        golds = [gold for gold in _golds(rows, questions) for _ in range(depths + 1)]
        if reader is not None:
            flat, golds = canonicalized(reader, owners.tolist(), flat, golds, rows.solutions)
        correct = np.array([text == gold for text, gold in zip(flat, golds, strict=True)])
    answer = answer_codes(owners, text_codes(flat), correct).reshape(-1, depths + 1)
    return answer[:, 0], answer[:, 1:]


def _answer(cell: object) -> str | None:
    return None if is_blank(cell) else as_text(cell)


def _concluded(texts: Sequence[str | None], notes: list[str]) -> list[str | None]:
    """Answers or whole solutions; None for those whose thought has not ended.

    Solutions do not show a thought that the chat template has begun. They hold its end alone, and
    those that were cut off within it hold neither.

    Args:
        texts: the answers or solutions; None where there is none.
        notes: one is added about thoughts whose beginning is not seen.
    """
    kept = [None if text is None or after_thought(text, KNOWN) is None else text for text in texts]
    for thought in KNOWN:
        ending = [text for text in kept if text is not None and thought.end in text]
        begun = sum(thought.start not in text.partition(thought.end)[0] for text in ending)
        if 2 * begun <= len(ending):
            continue
        open_ones = [place for place, text in enumerate(kept) if text and thought.end not in text]
        for place in open_ones:
            kept[place] = None
        if open_ones:
            notes.append(
                f"unfinished thoughts, without an answer: {len(open_ones)} solutions without "
                f"{thought.end}, before which others have no {thought.start}"
            )
    return kept


def _golds(rows: LogRows, questions: NDArray[np.int64]) -> list[str]:
    """The gold answer of each sample, which is the same for all samples of a question."""
    golds = rows.parsed("gold", needed)
    first: dict[int, str] = {}
    for question, gold, number in zip(questions.tolist(), golds, rows.numbers, strict=True):
        if first.setdefault(question, gold) != gold:
            why = f"must be {first[question]!r}, as in the question's first row"
            raise rows.refusal(number, "gold", gold, why)
    return golds
