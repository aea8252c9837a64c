"""Logged samples: a model's existing answers, read from a file with one row per sample.

Calibrating on them needs no model. Rows are held as arrays, question by question.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.cells import as_score, as_text, as_tokens, as_truth, is_blank
from calibration.data.grading import canonicalized
from calibration.data.log_rows import LogRows, read_log_rows
from runtime.answers import answers_for
from runtime.answers.graders import answers_fingerprint
from runtime.verifiers.base import Aggregation

MIN_SAMPLES = 4
UNANSWERED = -1
CORRECT = 0
LOGGED = "logged"


@dataclass(frozen=True)
class Log:
    """The same number of samples of each of many questions, shuffled within a question.

    Attributes:
        name: name of the log for people: the file, and which of its rows.
        digest: hash of the file and of what was read from it.
        answer: each sample's answer, shape (questions, samples): 0 the correct one, 1 and more
            the wrong ones of its question, -1 for none.
        score: shape (questions, samples); None where none were logged.
        tokens: sampled tokens, shape (questions, samples); None where none were logged.
        left_out: number of questions left out, which have fewer samples than the others.
        answers: how answers were compared, see `runtime.answers.graders.answers_fingerprint`.
        notes: what else was left out, for people.
    """

    name: str
    digest: str
    answer: NDArray[np.int64]
    score: NDArray[np.float64] | None
    tokens: NDArray[np.float64] | None
    left_out: int
    answers: str = LOGGED
    notes: tuple[str, ...] = ()

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each sample is correct, shape (questions, samples)."""
        return np.asarray(self.answer == CORRECT)


def read_log(
    source: str | Path,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    answers: str | None = None,
    aggregation: Aggregation | None = None,
    gold: str | None = None,
) -> Log:
    """Read samples from any source of rows, see `calibration.data.table_io.open_rows`.

    Each row has a question and an answer, and ``correct`` or a ``gold`` answer; a ``score`` in
    [0, 1], or the scores of its steps as a list, and a number of ``tokens`` where they were logged.
    A row may also hold all samples of a question, each of these being a list. If no columns are
    named, files of other programs are read as they are, see `calibration.data.log_formats`.

    Args:
        source: the file, or the data set.
        columns: the source's names for these columns, where they differ.
        where: only rows in which these columns hold these values, compared as text.
        answers: how answers are read and compared with the ``gold`` ones and with each other, see
            `runtime.answers.answers_for`; None compares exact strings, or takes ``correct``, and
            reads ``math`` where the log holds whole solutions, as other programs' files do.
        aggregation: how step scores become one; None takes the last.
        gold: the file of gold answers to OpenAI batch output.

    Raises:
        InputError: no such source or column, no rows, a cell that cannot be used (the message
            names its row), samples of several models, a setting that does not apply to the log, or
            too few samples per question.
    """
    source, columns, where = str(source), columns or {}, where or {}
    reader = None if answers is None else answers_for(answers)
    rows = read_log_rows(source, columns, where, gold)
    if rows.solutions and reader is None:
        answers, reader = "math", answers_for("math")
    _check_settings(rows, answers, aggregation)
    questions = _codes(rows.parsed("question", _needed))
    texts = rows.parsed("answer", _answer)
    numbers: dict[str, NDArray[np.float64]] = {}
    if "score" in rows.names:
        scores = rows.parsed("score", lambda cell: as_score(cell, aggregation or "last"))
        numbers["score"] = np.array(scores)
    if "tokens" in rows.names:
        numbers["tokens"] = np.array(rows.parsed("tokens", as_tokens))
    if "correct" in rows.names and reader is None:
        correct = rows.parsed("correct", as_truth)
    else:
        golds = _golds(rows, questions)
        if reader is not None:
            texts, golds = canonicalized(reader, questions.tolist(), texts, golds, rows.solutions)
        correct = [text == gold for text, gold in zip(texts, golds, strict=True)]
    answer = _answers_of(questions, _codes(texts), np.array(correct))
    place, left_out = _places(source, questions)
    placed = {name: values[place] for name, values in numbers.items()}
    chosen = ", ".join(f"{column} = {value}" for column, value in where.items())
    name = Path(source).name if Path(source).is_file() else source
    compared = LOGGED if answers is None else answers_fingerprint(answers, Path())
    return Log(
        name=f"{name}, {chosen}" if chosen else name,
        digest=_digest(rows, (columns, where), compared, aggregation),
        answer=answer[place],
        score=placed.get("score"),
        tokens=placed.get("tokens"),
        left_out=left_out,
        answers=compared,
        notes=tuple(rows.notes),
    )


def _check_settings(rows: LogRows, answers: str | None, aggregation: str | None) -> None:
    if answers is not None and "gold" not in rows.names:
        raise InputError(
            "answers",
            answers,
            f"it compares answers with gold ones, and {rows.rows.source} has no gold column; map "
            "one, or leave it out",
        )
    scores = rows.cells.get("score", [])
    if aggregation is not None and not any(isinstance(score, list) for score in scores):
        raise InputError(
            "aggregation",
            aggregation,
            f"{rows.rows.source} has no lists of step scores; leave it out",
        )


def _needed(cell: object) -> str:
    if is_blank(cell):
        raise ValueError("must not be blank")
    return as_text(cell)


def _answer(cell: object) -> str | None:
    return None if is_blank(cell) else as_text(cell)


def _golds(rows: LogRows, questions: NDArray[np.int64]) -> list[str]:
    """The gold answer of each sample, which is the same for all samples of a question."""
    golds = rows.parsed("gold", _needed)
    first: dict[int, str] = {}
    for question, gold, number in zip(questions.tolist(), golds, rows.numbers, strict=True):
        if first.setdefault(question, gold) != gold:
            why = f"must be {first[question]!r}, as in the question's first row"
            raise rows.refusal(number, "gold", gold, why)
    return golds


def _codes(values: Sequence[str | None]) -> NDArray[np.int64]:
    """Equal texts as equal numbers, in order of occurrence; None as `UNANSWERED`."""
    numbers: dict[str | None, int] = {None: UNANSWERED}
    return np.array([numbers.setdefault(value, len(numbers) - 1) for value in values])


def _digest(rows: LogRows, chosen: object, compared: str, aggregation: str | None) -> str:
    """A hash of what was read and how: the bytes of a file, the cells of any other data set."""
    path = Path(rows.rows.source)
    # Whole solutions may be graded by a second file, whose answers are among the cells.
    whole = path.is_file() and not rows.solutions
    content = path.read_bytes() if whole else repr(rows.cells).encode()
    how = repr(chosen)
    if (compared, aggregation) != (LOGGED, None):
        how += repr((compared, aggregation))
    return hashlib.sha256(content + how.encode()).hexdigest()[:16]


def _answers_of(
    question: NDArray[np.int64], text: NDArray[np.int64], correct: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Answers numbered from 1 within each question; all correct ones are number 0."""
    wrong = ~correct & (text != UNANSWERED)
    width = text.max(initial=0) + 1
    distinct, of = np.unique(question[wrong] * width + text[wrong], return_inverse=True)
    owner = distinct // width
    # Distinct pairs are sorted by question: the first of each question is number 1.
    first = np.searchsorted(owner, owner, side="left")
    answer = np.where(correct, CORRECT, UNANSWERED)
    answer[wrong] = (np.arange(len(distinct)) - first + 1)[of]
    return answer


def _places(source: str, question: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Row numbers of each question, shape (questions, samples), shuffled; and how many questions
    are left out.

    The number of samples per question is the one that uses the most rows of the file.
    """
    # A log may be sorted by score or answer: shuffled, all parts of a question's rows are alike.
    shuffled = np.random.default_rng(0).permutation(len(question))
    order = shuffled[np.argsort(question[shuffled], kind="stable")]
    counts = np.bincount(question)
    sizes = np.unique(counts)
    used = [int(size) * int((counts >= size).sum()) for size in sizes]
    samples = int(sizes[int(np.argmax(used))])
    if samples < MIN_SAMPLES:
        raise InputError(
            "from-logs",
            source,
            f"{samples} samples a question; at least {MIN_SAMPLES} are needed",
        )
    starts = np.cumsum(counts) - counts
    enough = np.flatnonzero(counts >= samples)
    return order[starts[enough][:, None] + np.arange(samples)], len(counts) - len(enough)
