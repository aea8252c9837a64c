"""Data sets: prompts and, for calibration and training, their right answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pydantic import BaseModel, Field

from allocator.errors import InputError, shortened
from calibration.data.cells import as_text, is_blank
from calibration.data.table_io import SHOWN_CHARACTERS, open_rows, pairs
from runtime.answers import answer_line, last_boxed

Format = Literal["auto", "plain", "gsm8k", "math"]

# Each format's columns, the prompt's first. `auto` takes the first format whose prompt column
# exists.
COLUMNS = {
    "plain": ("prompt", "answer"),
    "gsm8k": ("question", "answer"),
    "math": ("problem", "solution", "answer"),
}
NAMES = tuple(dict.fromkeys(name for names in COLUMNS.values() for name in names))


class DataSettings(BaseModel):
    """How the rows of a data set are read."""

    format: Format = Field(
        default="auto",
        description="plain: prompt, and its bare answer; gsm8k: question, and answer ending in "
        "'#### N'; math: problem, and answer or a solution with \\boxed{}; auto: by the columns",
    )
    columns: str = Field(
        default="",
        description="columns that stand for the format's own, as in prompt=question,answer=gold; "
        "those of a log are question, answer, correct, gold, score, tokens, logprob, finished, "
        "model, sample, and of thoughts probes, probe_every, thinking_tokens",
    )

    def mapping(self) -> dict[str, str]:
        """The data set's columns by the format's names for them.

        Raises:
            InputError: not pairs of a format's column and a column of the data set.
        """
        mapping = pairs("columns", self.columns)
        if any(name not in NAMES for name in mapping):
            raise InputError("columns", self.columns, f"the formats have {', '.join(NAMES)}")
        return mapping


def located_prompts(source: str, data: DataSettings) -> list[tuple[str, str]]:
    """The prompts of a data set, each with its location for messages: (location, prompt) pairs.

    Args:
        source: a file, folder or name, see `calibration.data.table_io.open_rows`.
        data: its format and columns.

    Raises:
        InputError: a data set that cannot be read, or a row whose prompt is missing, blank or NaN.
    """
    return [(row.where, row.text(row.prompt)) for row in _rows(source, data, graded=False)]


@contextmanager
def rows_named(source: str, data: DataSettings) -> Iterator[None]:
    """Add the row to an InputError about one of the prompts.

    Args:
        source: the source of the prompts.
        data: its format and columns.
    """
    try:
        yield
    except InputError as error:
        if error.field != "prompt":
            raise
        # Of prompts with the same beginning, the longest exceeds the context.
        alike = [row for row in located_prompts(source, data) if shortened(row[1]) == error.value]
        where = max(alike, key=lambda row: len(row[1]))[0] if alike else error.field
        raise InputError(where, error.value, error.hint) from None


def read_graded_prompts(source: str, data: DataSettings) -> list[tuple[str, str]]:
    """(prompt, right answer) pairs of a data set; arguments as `located_prompts`.

    Raises:
        InputError: as `located_prompts`; or a row whose answer is missing, blank or NaN, or a
            prompt that occurs twice.
    """
    pairs: dict[str, str] = {}
    for row in _rows(source, data, graded=True):
        prompt = row.text(row.prompt)
        if prompt in pairs:
            raise InputError(row.where, prompt, "the prompt occurs twice; list each once")
        pairs[prompt] = row.gold()
    return list(pairs.items())


class _Row:
    """A row in its format's terms."""

    def __init__(
        self, where: str, row: dict[str, object], form: str, columns: dict[str, str]
    ) -> None:
        self.where, self.prompt = where, COLUMNS[form][0]
        self._row, self._format, self._columns = row, form, columns

    def has(self, name: str) -> bool:
        return not is_blank(self._row.get(self._columns.get(name, name)))

    def text(self, name: str) -> str:
        column = self._columns.get(name, name)
        value = self._row.get(column)
        if not self.has(name):
            shown = str(self._row)[:SHOWN_CHARACTERS]
            raise InputError(self.where, shown, f"give it a {column!r} field that is not blank")
        try:
            return as_text(value)
        except ValueError as error:
            raise InputError(self.where, value, f"its {column!r} {error}") from None

    def gold(self) -> str:
        """The right answer, read by the format's published convention."""
        if self._format == "gsm8k":
            whole = self.text("answer").rstrip()
            extracted = answer_line(whole.rpartition("\n")[2])
            missing = "its answer does not end in '#### N'; name the columns of bare answers: "
            missing += "--columns prompt=...,answer=..."
        elif self._format == "math" and not self.has("answer"):
            whole = self.text("solution")
            extracted, missing = last_boxed(whole), r"its solution has no \boxed{answer}"
        else:
            return self.text("answer").strip()
        if extracted is None:
            raise InputError(self.where, whole[-SHOWN_CHARACTERS:], missing)
        return extracted


def _rows(source: str, data: DataSettings, *, graded: bool) -> Iterator[_Row]:
    mapping, rows = data.mapping(), open_rows(source)
    existing = ", ".join(rows.columns)
    for column in mapping.values():
        if column not in rows.columns:
            raise InputError("columns", data.columns, f"no {column!r} in {source}: {existing}")
    # A column that is mapped to another name no longer has its own.
    columns = {name: name for name in rows.columns if name not in mapping.values()} | mapping
    form: str = data.format
    if form == "auto":
        form = next((f for f, names in COLUMNS.items() if names[0] in columns), "plain")
    if foreign := [name for name in mapping if name not in COLUMNS[form]]:
        raise InputError(
            "columns", data.columns, f"{form} has {', '.join(COLUMNS[form])}, no {foreign[0]}"
        )
    if (prompt := COLUMNS[form][0]) not in columns:
        hint = f"no {prompt!r} among its columns; say which one it is: --columns {prompt}=..."
        raise InputError(source, existing, hint)
    wanted = COLUMNS[form] if graded else COLUMNS[form][:1]
    for number, row in rows.read([columns[name] for name in wanted if name in columns]):
        yield _Row(rows.where(number), row, form, columns)
