"""Logged samples: a model's existing answers, read from a file with one row per sample.

Calibrating on them needs no model. Rows are held as arrays, question by question.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.answer_codes import CORRECT, UNANSWERED, text_codes
from calibration.data.cells import as_finished, as_logprob, as_tokens
from calibration.data.log_answers import graded, needed
from calibration.data.log_copies import without_copies
from calibration.data.log_names import read_aliases
from calibration.data.log_rows import LogRows, read_log_rows
from calibration.data.log_scores import LoggedScores, check_no_grades, read_scores
from calibration.data.log_thoughts import Probed, read_thoughts
from calibration.data.questions import MIN_PROMPTS
from calibration.data.thoughts import DirectAnswers, Thoughts
from runtime.answers import answers_for
from runtime.answers.graders import answers_fingerprint
from runtime.answers.thought import KNOWN
from runtime.traffic import MIN_SAMPLES
from runtime.verifiers.base import Aggregation

LOGGED = "logged"


@dataclass(frozen=True)
class Log:
    """Samples of many questions, shuffled within a question.

    Questions may have different numbers of samples: arrays are as wide as the largest number, and
    what a question has no sample for is 0, or -1 in `answer`.

    Attributes:
        name: name of the log for people: the file, and which of its rows.
        digest: hash of the file and of what was read from it.
        answer: each sample's answer, shape (questions, samples): 0 the correct one, 1 and more
            the wrong ones of its question, -1 for none.
        scores: arrays of shape (questions, samples); empty where none were logged.
        tokens: sampled tokens, shape (questions, samples); None where they were not logged.
        left_out: number of questions left out, which have far fewer samples than the others.
        questions: what the log calls each question; empty in a log that was not read from a file.
        aliases: what else it calls them, one tuple per such column, by the column's name.
        question_column: the log's column of `questions`.
        counts: number of samples of each question, shape (questions,); None where all have as many
            as arrays are wide.
        logprob: summed natural log-probability of each sample, shape (questions, samples); None
            where it was not logged.
        finished: whether the model ended each sample itself, likewise.
        confidence: lowest mean confidence of each sample, likewise; files have none.
        answers: how answers were compared, see `runtime.answers.graders.answers_fingerprint`.
        notes: what else was left out, for people.
        thoughts: the samples as thoughts with answers forced on the way, as many for each question
            as `window`; None where they were not logged.
    """

    name: str
    digest: str
    answer: NDArray[np.int64]
    scores: LoggedScores
    tokens: NDArray[np.float64] | None
    left_out: int
    questions: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    question_column: str = "question"
    counts: NDArray[np.int64] | None = None
    logprob: NDArray[np.float64] | None = None
    finished: NDArray[np.bool_] | None = None
    confidence: NDArray[np.float64] | None = None
    answers: str = LOGGED
    notes: tuple[str, ...] = ()
    thoughts: Thoughts | None = None

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each sample is correct, shape (questions, samples)."""
        return np.asarray(self.answer == CORRECT)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """All names of each question, by the log's columns."""
        return {self.question_column: self.questions, **self.aliases}

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of samples of each question, shape (questions,)."""
        width = self.answer.shape[1]
        return np.full(len(self.answer), width) if self.counts is None else self.counts

    @property
    def window(self) -> int:
        """Samples of the question that has the fewest: every question has at least as many."""
        return int(self.sizes.min())

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """Where there is a sample, shape (questions, samples)."""
        return np.asarray(np.arange(self.answer.shape[1]) < self.sizes[:, None])

    def take(self, questions: NDArray[np.int64]) -> "Log":
        """The samples of some questions, by their indices."""

        def chosen(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[questions]

        return replace(
            self,
            answer=self.answer[questions],
            scores=self.scores.map(lambda values: values[questions]),
            tokens=chosen(self.tokens),
            questions=_chosen(self.questions, questions),
            aliases={name: _chosen(each, questions) for name, each in self.aliases.items()},
            counts=chosen(self.counts),
            logprob=chosen(self.logprob),
            finished=chosen(self.finished),
            confidence=chosen(self.confidence),
            thoughts=None if self.thoughts is None else self.thoughts.take(questions),
        )


def read_log(
    source: str | Path,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    where: Mapping[str, str] | None = None,
    answers: str | None = None,
    aggregation: Aggregation | None = None,
    gold: str | None = None,
    logits: Sequence[str] = (),
) -> Log:
    """Read samples from recorded traffic, see `runtime.traffic`, or from any source of rows, see
    `calibration.data.table_io.open_rows`.

    Each row has a question and an answer, and ``correct`` or a ``gold`` answer. Where they were
    logged it has a ``score`` (a probability or log-odds), or the scores of its steps as a list, a
    number of ``tokens``, a ``logprob``, and ``finished``. Several columns may be scores. A row may
    also hold all samples of a question, each of these being a list. If no columns are named, files
    of other programs are read as they are, see `calibration.data.log_formats`.

    Args:
        source: the file, or the data set.
        columns: the source's names for these columns, where they differ; of scores any number.
        where: only rows in which these columns hold these values, compared as text.
        answers: how answers are read and compared with the ``gold`` ones and with each other, see
            `runtime.answers.answers_for`; None compares exact strings, or takes ``correct``, and
            reads ``math`` where the log holds whole solutions, as other programs' files do.
        aggregation: how step scores become one; None takes every way as a score of its own.
        gold: the file of gold answers to OpenAI batch output.
        logits: columns of scores that are log-odds; None names those most of whose values lie
            outside [0, 1].

    Raises:
        InputError: no such source or column, no rows, a cell that cannot be used (the message
            names its row), samples of several models, one text under several numbers, several
            texts or gold answers under one, a score that is the grade, a setting that does not
            apply to the log, or too few samples per question.
    """
    source, where = str(source), where or {}
    chosen = {
        ours: (theirs,) if isinstance(theirs, str) else tuple(theirs)
        for ours, theirs in (columns or {}).items()
    }
    reader = None if answers is None else answers_for(answers, thoughts=KNOWN)
    rows, probed = read_thoughts(without_copies(read_log_rows(source, chosen, where, gold)))
    if rows.solutions and reader is None:
        answers, reader = "math", answers_for("math", thoughts=KNOWN)
    _check_answers(rows, answers)
    names = rows.parsed("question", needed)
    aliases = read_aliases(rows, names, told_apart="question" in chosen)
    questions = text_codes(names)
    logged = _number_columns(rows)
    answer, forced = graded(rows, questions, probed, reader)
    scores = read_scores(rows, answer != UNANSWERED, aggregation, logits)
    check_no_grades(rows, scores, answer != UNANSWERED, answer == CORRECT)
    place, counts = _places(source, questions)
    sampled = np.arange(place.shape[1]) < counts[:, None]  # whether a place holds a sample

    def placed(values: NDArray[Any], missing: float = 0) -> NDArray[Any]:
        """Values by question and sample, in place of by row."""
        return np.where(sampled, values[place], values.dtype.type(missing))

    numbers = {column: placed(values) for column, values in logged.items()}
    filtered = ", ".join(f"{column} = {value}" for column, value in where.items())
    name = Path(source).name if Path(source).is_file() else source
    compared = LOGGED if answers is None else answers_fingerprint(answers, Path())
    return Log(
        name=f"{name}, {filtered}" if filtered else name,
        digest=_digest(rows, (chosen, where, *logits), compared, aggregation),
        answer=placed(answer, UNANSWERED),
        scores=scores.map(placed),
        tokens=numbers.get("tokens"),
        left_out=len(np.unique(questions)) - len(place),
        questions=_chosen(names, place[:, 0]),
        aliases={column: _chosen(cells, place[:, 0]) for column, cells in aliases.items()},
        question_column=rows.names["question"],
        counts=counts,
        logprob=numbers.get("logprob"),
        finished=numbers.get("finished"),
        answers=compared,
        notes=tuple(rows.notes),
        thoughts=None
        if probed is None
        else _thoughts(answer, logged, probed, forced, place[:, : counts.min()]),
    )


def _number_columns(rows: LogRows) -> dict[str, NDArray[Any]]:
    """What was logged of each row beside its answer and its scores, by column, as numbers."""
    parsers: dict[str, Callable[[object], float]] = {
        "tokens": as_tokens,
        "logprob": as_logprob,
        "finished": as_finished,
    }
    return {
        column: np.array(rows.parsed(column, parse))
        for column, parse in parsers.items()
        if column in rows.names
    }


def _thoughts(
    answer: NDArray[np.int64],
    logged: Mapping[str, NDArray[np.float64]],
    probed: Probed,
    forced: NDArray[np.int64],
    place: NDArray[np.int64],
) -> Thoughts:
    depths, given, direct, nll = probed.depths, forced[place], None, None
    if "logprob" in logged:
        nll = -logged["logprob"][place]
    if probed.direct is not None:
        length, own = np.moveaxis(probed.direct[place], -1, 0)
        direct = DirectAnswers(given[..., 0], length, own)
        depths, given = depths[1:], given[..., 1:]
    tokens, after = logged["tokens"][place], None
    if probed.tokens is not None:
        tokens, after = np.moveaxis(probed.tokens[place], -1, 0)
    return Thoughts(
        answer[place],
        np.maximum(1.0, tokens),
        depths,
        given,
        probe_tokens=probed.probe_tokens,
        direct=direct,
        nll=nll,
        answer_tokens=after,
        limit=probed.limit,
        cut=probed.cut[place],
    )


def _chosen(names: Sequence[str], numbers: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(names[number] for number in numbers.tolist()) if names else ()


def _check_answers(rows: LogRows, answers: str | None) -> None:
    if answers is not None and "gold" not in rows.names:
        raise InputError(
            "answers",
            answers,
            f"it compares answers with gold ones, and {rows.rows.source} has no gold column; map "
            "one, or leave it out",
        )


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


def _places(
    source: str, question: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of each question, shape (questions, samples), shuffled; and how many it has.

    Questions with few samples are left out. The number that the others have at least is the one
    that uses the most rows of the file, if all had no more, and leaves enough questions.
    """
    # A log may be sorted by score or answer: shuffled, all parts of a question's rows are alike.
    shuffled = np.random.default_rng(0).permutation(len(question))
    order = shuffled[np.argsort(question[shuffled], kind="stable")]
    counts = np.bincount(question)
    sizes = np.unique(counts)
    questions = np.array([(counts >= size).sum() for size in sizes])
    used = sizes * questions
    if questions[0] >= MIN_PROMPTS:
        used[questions < MIN_PROMPTS] = 0
    samples = int(sizes[int(np.argmax(used))])
    if samples < MIN_SAMPLES:
        raise InputError(
            "from-logs",
            source,
            f"{samples} samples per question; at least {MIN_SAMPLES} are needed",
        )
    starts = np.cumsum(counts) - counts
    enough = np.flatnonzero(counts >= samples)
    held = counts[enough]
    # What a question has no sample for shows its last one: the caller masks it.
    within = np.minimum(np.arange(held.max()), held[:, None] - 1)
    return order[starts[enough][:, None] + within], held
