"""Logged samples: what a model answered already, read from a file, one row a sample.

No model is needed to calibrate on them. Rows are held as arrays, question by question.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from allocator.errors import InputError

# The columns read, and what they may be called beside their own name.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": ("question_id", "question", "prompt"),
    "answer": ("answer",),
    "correct": ("correct",),
    "gold": ("gold",),
    "score": ("score",),
    "tokens": ("tokens",),
    "model": ("model",),
}
LEAST_SAMPLES = 4
UNANSWERED = -1
CORRECT = 0


@dataclass(frozen=True)
class Log:
    """Samples of many questions, as many of each; their order within a question is shuffled.

    Attributes:
        name: what the samples are, for people: the file, and which of its rows.
        digest: hash of the file and of what was read from it.
        answer: each sample's answer, shape (questions, samples): 0 the correct one, 1 and more
            the wrong ones of its question, -1 for none.
        score: shape (questions, samples); None where none were logged.
        tokens: sampled tokens, shape (questions, samples); None where none were logged.
        left_out: questions of fewer samples than were taken of the others.
    """

    name: str
    digest: str
    answer: NDArray[np.int64]
    score: NDArray[np.float64] | None
    tokens: NDArray[np.float64] | None
    left_out: int

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each sample is correct, shape (questions, samples)."""
        return np.asarray(self.answer == CORRECT)


def read_log(
    path: Path, columns: Mapping[str, str] | None = None, where: Mapping[str, str] | None = None
) -> Log:
    """Read a file of samples, Parquet or JSON lines.

    Each row has a question and an answer, and ``correct`` or a ``gold`` answer that it is compared
    with letter by letter; a ``score`` in [0, 1] and a number of ``tokens`` where they were logged.

    Args:
        path: the file.
        columns: names of these columns in the file, where they are others.
        where: only rows in which these columns hold these values, compared as text.

    Raises:
        InputError: no such file or column, no rows, samples of several models, scores that are
            none, or too few samples a question.
    """
    table = _filtered(path, _read(path), where or {})
    named = _named(path, table, columns or {})
    _one_model(path, named)
    question = _codes(named["question"])
    answers = named["answer"].cast(pa.string())
    if "correct" in named:
        correct = _numbers(path, named, "correct").astype(bool)
    else:
        correct = pc.fill_null(pc.equal(answers, named["gold"].cast(pa.string())), False)
        correct = correct.to_numpy(zero_copy_only=False)
    answer = _answers_of(question, answers, correct)
    place, left_out = _places(path, question)
    numbers = {n: _numbers(path, named, n)[place] for n in ("score", "tokens") if n in named}
    score, tokens = numbers.get("score"), numbers.get("tokens")
    if score is not None and not np.all((score >= 0) & (score <= 1)):
        bad = score[~((score >= 0) & (score <= 1))].flat[0]
        raise InputError("score", float(bad), f"scores in {path} must lie in [0, 1]; rescale them")
    chosen = ", ".join(f"{column} = {value}" for column, value in (where or {}).items())
    digest = hashlib.sha256(path.read_bytes() + repr((columns, where)).encode()).hexdigest()
    name = f"{path.name}, {chosen}" if chosen else path.name
    return Log(name, digest[:16], answer[place], score, tokens, left_out)


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        return pyarrow.json.read_json(path)
    except FileNotFoundError:
        raise InputError("from-logs", str(path), "no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            "from-logs", str(path), f"neither Parquet nor JSON lines ({error})"
        ) from None


def _filtered(path: Path, table: pa.Table, where: Mapping[str, str]) -> pa.Table:
    for column, value in where.items():
        if column not in table.column_names:
            raise InputError("where", column, f"{path} has {', '.join(table.column_names)}")
        texts = table[column].cast(pa.string())
        kept = table.filter(pc.equal(texts, value))
        if not len(kept):
            some = ", ".join(map(str, pc.unique(texts).to_pylist()[:8]))
            raise InputError(
                "where", f"{column}={value}", f"no such row in {path}; there is {some}"
            )
        table = kept
    return table


def _named(path: Path, table: pa.Table, columns: Mapping[str, str]) -> dict[str, pa.ChunkedArray]:
    for ours, theirs in columns.items():
        if ours not in COLUMNS:
            raise InputError("columns", ours, f"name one of {', '.join(COLUMNS)}")
        if theirs not in table.column_names:
            raise InputError("columns", theirs, f"{path} has {', '.join(table.column_names)}")
    names = {
        ours: columns.get(ours) or next((c for c in called if c in table.column_names), None)
        for ours, called in COLUMNS.items()
    }
    there = ", ".join(table.column_names)
    for ours in ("question", "answer"):
        if names[ours] is None:
            raise InputError(
                "columns", ours, f"no such column in {path}, which has {there}; map it: {ours}=NAME"
            )
    if names["correct"] is None and names["gold"] is None:
        raise InputError(
            "columns", "correct", f"neither it nor gold is in {path}, which has {there}; map one"
        )
    if not len(table):
        raise InputError("from-logs", str(path), "it has no rows")
    return {ours: table[name] for ours, name in names.items() if name is not None}


def _one_model(path: Path, named: Mapping[str, pa.ChunkedArray]) -> None:
    if "model" in named and len(models := pc.unique(named["model"]).to_pylist()) > 1:
        raise InputError(
            "where",
            None,
            f"{path} holds samples of several models ({', '.join(map(str, models[:8]))}); "
            f"choose one: model={models[0]}",
        )


def _numbers(path: Path, named: Mapping[str, pa.ChunkedArray], name: str) -> NDArray[np.float64]:
    try:
        values = named[name].cast(pa.bool_() if name == "correct" else pa.float64())
    except pa.ArrowInvalid as error:
        raise InputError(name, str(path), f"not numbers ({error})") from None
    if values.null_count:
        raise InputError(name, None, f"{values.null_count} rows of {path} have none; fill them in")
    return np.asarray(values.to_numpy(), dtype=float)


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices, UNANSWERED).to_numpy(), dtype=np.int64)


def _answers_of(
    question: NDArray[np.int64], answers: pa.ChunkedArray, correct: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Answers numbered from 1 within each question; all that are correct are the same one, 0."""
    text = _codes(answers)
    text[np.asarray(pc.fill_null(pc.equal(answers, ""), False))] = UNANSWERED
    wrong = ~correct & (text != UNANSWERED)
    pair = question[wrong] * (text.max(initial=0) + 1) + text[wrong]
    distinct, of = np.unique(pair, return_inverse=True)
    owner = distinct // (text.max(initial=0) + 1)
    # Distinct pairs are sorted by question: the first of each question gets 1.
    first = np.searchsorted(owner, owner, side="left")
    answer = np.where(correct, CORRECT, UNANSWERED)
    answer[wrong] = (np.arange(len(distinct)) - first + 1)[of]
    return answer


def _places(path: Path, question: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Rows of each question, shape (questions, samples), shuffled; and the questions left out.

    As many samples are taken of every question as use most rows of the file.
    """
    # A log may be sorted by score or answer: shuffled, any part of a question's rows is like any.
    shuffled = np.random.default_rng(0).permutation(len(question))
    order = shuffled[np.argsort(question[shuffled], kind="stable")]
    counts = np.bincount(question)
    sizes = np.unique(counts)
    used = [int(size) * int((counts >= size).sum()) for size in sizes]
    samples = int(sizes[int(np.argmax(used))])
    if samples < LEAST_SAMPLES:
        raise InputError(
            "from-logs",
            str(path),
            f"{samples} samples a question; at least {LEAST_SAMPLES} are needed",
        )
    starts = np.cumsum(counts) - counts
    enough = np.flatnonzero(counts >= samples)
    return order[starts[enough][:, None] + np.arange(samples)], len(counts) - len(enough)
