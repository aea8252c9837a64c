"""The rows of a log as columns, under the names that the user mapped; cells are not parsed yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from allocator.errors import InputError
from calibration.data.cells import as_text, as_truth, is_blank
from calibration.data.log_formats import recognise
from calibration.data.table_io import SHOWN_CHARACTERS, Rows, open_rows
from calibration.data.traffic import traffic_rows
from runtime.traffic import is_traffic

# The columns to read, and their alternative names.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": ("question_id", "question", "problem", "prompt"),
    "answer": ("answer",),
    "correct": ("correct",),
    "gold": ("gold",),
    "score": ("score",),
    "logprob": ("logprob",),
    "tokens": ("tokens",),
    "finished": ("finished",),
    "model": ("model",),
    "probes": ("probes",),
    "probe_every": ("probe_every",),
    "thinking_tokens": ("thinking_tokens",),
    "sample": ("sample_index", "sample"),
}
SCORE, ALIAS = "score", "alias"
NO_VOTES = (
    "Where no two samples share an answer, as programs do not, no vote is possible, and such a log "
    "cannot be calibrated on"
)
# The columns that differ between the samples of one question.
OF_SAMPLES = (
    *("answer", "correct", "score", "logprob", "tokens", "finished"),
    *("probes", "thinking_tokens", "sample"),
)

Value = TypeVar("Value")


@dataclass(frozen=True)
class LogRows:
    """The samples of a log, in the order read.

    Attributes:
        rows: the source.
        names: the source's name for each column of `COLUMNS` that it has. Each of several scores
            is a column of its own, called ``score:`` and its name in the source. Other columns that
            name a question, such as its text beside its number, are called ``alias:`` likewise.
        numbers: the row number of each sample.
        cells: each column's cells, one per sample.
        solutions: whether answers are whole solutions, as in the files of other programs.
        notes: what was left out, and where the rows come from, for people.
    """

    rows: Rows
    names: Mapping[str, str]
    numbers: list[int]
    cells: dict[str, list[object]]
    solutions: bool = False
    notes: list[str] = field(default_factory=list)

    def parsed(self, column: str, parse: Callable[[object], Value]) -> list[Value]:
        """A column's cells, parsed.

        Raises:
            InputError: a cell that cannot be parsed; the message names its row.
        """
        values = []
        for number, cell in zip(self.numbers, self.cells[column], strict=True):
            try:
                values.append(parse(cell))
            except ValueError as error:
                raise self.refusal(number, column, cell, str(error)) from None
        return values

    def marks(self) -> list[bool]:
        """Whether each sample is marked correct; one without an answer need not be marked.

        Raises:
            InputError: as `parsed`.
        """
        answers = iter(self.cells["answer"])

        def mark(cell: object) -> bool:
            unanswered = is_blank(next(answers))
            try:
                return as_truth(cell)
            except ValueError:
                if unanswered:
                    return False
                raise

        return self.parsed("correct", mark)

    def take(self, kept: Sequence[int]) -> "LogRows":
        """Some of the samples, by their indices."""
        cells = {name: [column[row] for row in kept] for name, column in self.cells.items()}
        return replace(self, numbers=[self.numbers[row] for row in kept], cells=cells)

    @property
    def scores(self) -> list[str]:
        """The columns that hold scores, as `names` has them."""
        return [ours for ours in self.names if _kind(ours) == SCORE]

    @property
    def aliases(self) -> list[str]:
        """The other columns that name a question, as `names` has them."""
        return [ours for ours in self.names if _kind(ours) == ALIAS]

    def refusal(self, number: int, column: str, cell: object, why: str) -> InputError:
        """An error about a cell that cannot be used, with its row."""
        shown = cell[:SHOWN_CHARACTERS] if isinstance(cell, str) else cell
        return InputError(self.rows.where(number), shown, f"its {self.names[column]!r} {why}")


def _kind(ours: str) -> str:
    """The entry of `COLUMNS` that a column belongs to."""
    return ours.partition(":")[0]


def log_columns(text: str) -> dict[str, tuple[str, ...]]:
    """The mapping of ``question=q,score=last,min``: a name may be followed by several columns.

    Raises:
        InputError: a column before the first name, or a name that occurs twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for part in map(str.strip, text.split(",") if text else ()):
        before, equals, column = part.rpartition("=")
        if equals and before in found:
            raise InputError("columns", text, f"give {before!r} once, with all of its columns")
        name = before if equals else name
        if not name or not column:
            raise InputError("columns", text, "give NAME=COLUMN, comma-separated")
        found[name] = (*found.get(name, ()), column)
    return found


def _as_names(columns: Mapping[str, str]) -> dict[str, str]:
    """Names as `LogRows` has them, of columns that have one name each."""
    return {
        f"{SCORE}:{theirs}" if ours == SCORE else ours: theirs
        for ours, theirs in columns.items()
        if ours in COLUMNS
    }


def read_log_rows(
    source: str,
    columns: Mapping[str, Sequence[str]],
    where: Mapping[str, str],
    gold: str | None = None,
) -> LogRows:
    """Read the rows of a log; arguments as `calibration.data.sample_log.read_log`.

    A row is one sample, or, if its answer is a list, all samples of a question: then its score,
    tokens and correctness are lists of the same length.

    Raises:
        InputError: no such file or column, no rows, lists of different lengths, or samples of
            several models.
    """
    folder = Path(source)
    rows = traffic_rows(folder) if is_traffic(folder) else open_rows(source, "from-logs")
    form = recognise(rows, columns, gold)
    if form is None:
        names = _names(rows, columns)
        kinds = set(map(_kind, names))
        absent = {name for kind, called in COLUMNS.items() if kind not in kinds for name in called}
        absent -= {*rows.columns}  # those that are mapped to another name
        read = {*names.values(), *where}
    else:
        names = _as_names(form.names)
        absent, read = set(), set(rows.columns)
    for column in where:
        if column not in rows.columns:
            raise InputError("where", column, f"{source} has {', '.join(rows.columns)}")
    cells_of: dict[str, list[object]] = {ours: [] for ours in names}
    notes = list(rows.notes)
    log_rows = LogRows(rows, names, [], cells_of, solutions=form is not None, notes=notes)
    seen: dict[str, set[str]] = {column: set() for column in where}
    for number, row in rows.read(list(read)):
        if late := absent & row.keys():
            raise InputError(
                rows.where(number), late.pop(), "the first row has no such column; give it to all"
            )
        written = {column: _written(row.get(column)) for column in where}
        for column, text in written.items():
            seen[column].add(text)
        if written != where:
            continue
        readable = row if form is None else form.cells(number, row)
        if readable is not None:
            for sample in _samples(log_rows, number, readable):
                log_rows.numbers.append(number)
                for cells, cell in zip(cells_of.values(), sample, strict=True):
                    cells.append(cell)
    if form is not None:
        log_rows.notes.extend(form.settle(cells_of))
        for unknown in names.keys() - cells_of.keys():
            del names[unknown]
    if not log_rows.numbers:
        values_seen = "; ".join(f"{c} is {' or '.join(sorted(s)[:8])}" for c, s in seen.items())
        raise InputError("where", dict(where), f"no such row in {source}, where {values_seen}")
    _check_model(log_rows)
    return log_rows


def _names(rows: Rows, columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    existing = ", ".join(rows.columns)
    _check_mapped(rows, columns, existing)
    # A column that is mapped to another name no longer has its own.
    mapped = {theirs for several in columns.values() for theirs in several}
    names: dict[str, str] = {}
    for ours, called in COLUMNS.items():
        own = [column for column in called if column in rows.columns and column not in mapped]
        several = columns.get(ours, own[:1])
        names |= {f"{SCORE}:{theirs}" if ours == SCORE else ours: theirs for theirs in several}
        if ours == "question":
            names |= {f"{ALIAS}:{other}": other for other in own if other not in several}
    lacks = f"no such column in {rows.source}, which has {existing}; map it"
    if "question" not in names:
        raise InputError("columns", "question", f"{lacks}: question=NAME")
    if "answer" not in names:
        raise InputError(
            "columns",
            "answer",
            f"{lacks}, if one holds the samples' final answers: answer=NAME; they are what samples "
            f"vote by, not whether one is correct. {NO_VOTES}",
        )
    if names["answer"] == names.get("correct"):
        raise InputError(
            "columns",
            f"answer={names['answer']}",
            f"it says whether a sample is correct ({names['answer']!r} is 'correct' too), which is "
            f"no answer: map the samples' final answers, which they vote by. {NO_VOTES}",
        )
    if "correct" not in names and "gold" not in names:
        raise InputError(
            "columns",
            "correct",
            f"neither it nor gold is in {rows.source}, which has {existing}; map one",
        )
    return names


def _check_mapped(rows: Rows, columns: Mapping[str, Sequence[str]], existing: str) -> None:
    for ours, several in columns.items():
        if ours not in COLUMNS:
            raise InputError("columns", ours, f"name one of {', '.join(COLUMNS)}")
        if len(several) > 1 and ours != SCORE:
            raise InputError("columns", ",".join(several), f"{ours} must be one column")
        for theirs in several:
            if theirs not in rows.columns:
                raise InputError("columns", theirs, f"{rows.source} has {existing}")
        if len(set(several)) < len(several):
            raise InputError("columns", ",".join(several), "name each column once")


def _written(cell: object) -> str:
    """A cell as text, as a filter compares it."""
    if is_blank(cell):
        return ""
    return as_text(cell) if isinstance(cell, str | int | float) else str(cell)


def _samples(log: LogRows, number: int, row: Mapping[str, object]) -> Iterator[Sequence[object]]:
    cells = {ours: row.get(name) for ours, name in log.names.items()}
    answers = cells["answer"]
    if not isinstance(answers, list):
        yield list(cells.values())
        return
    lists: dict[str, list[object]] = {}
    for ours, cell in cells.items():
        if _kind(ours) not in OF_SAMPLES or _is_of_row(log, ours, cell):
            continue
        if not isinstance(cell, list) or len(cell) != len(answers):
            raise log.refusal(
                number, ours, cell, f"must be a list of {len(answers)}, as answers are"
            )
        lists[ours] = cell
    for place in range(len(answers)):
        yield [lists[ours][place] if ours in lists else cell for ours, cell in cells.items()]


def _is_of_row(log: LogRows, ours: str, cell: object) -> bool:
    """Whether a cell may be a row's own where other columns list all samples of a question.

    Samples may have ended alike. Their numbers are not read where each has one row.
    """
    if ours == "sample":
        return "thinking_tokens" not in log.names
    return ours == "finished" and not isinstance(cell, list)


def _check_model(log: LogRows) -> None:
    models = list(dict.fromkeys(map(str, log.cells.get("model", []))))
    if len(models) > 1:
        raise InputError(
            "where",
            None,
            f"{log.rows.source} holds samples of several models ({', '.join(models[:8])}); "
            f"choose one: model={models[0]}",
        )
