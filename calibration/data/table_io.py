"""Rows of a data set or a log: from JSON, Parquet, or a Hugging Face data set."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from allocator.extras import require
from allocator.files import parse_json

# Number of a row in its source, from 1, and its columns.
Row = tuple[int, dict[str, object]]

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
SHOWN_CHARACTERS = 60
READ_AT_ONCE = 1024  # rows of Parquet: they may hold long texts
ONE_OBJECT = "give one JSON object a line, or one array of them"


@dataclass(frozen=True)
class Rows:
    """A data set that can be read several times.

    Attributes:
        source: the name that the user gave.
        columns: its columns; of JSON, those of the first row.
        read: reads its rows, with the requested columns and possibly others.
        unit: word for a row: ``line`` for JSON lines, ``row`` otherwise.
        notes: what is to be known of the rows, for people.
        plain: the columns of texts, numbers and truth values; empty where rows are read with all
            columns anyway.
    """

    source: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[Row]]
    unit: str = "row"
    notes: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()

    def where(self, number: int) -> str:
        """Location of a row, for messages."""
        return f"{self.source}, {self.unit} {number}"


def pairs(field: str, text: str) -> dict[str, str]:
    """The pairs of ``name=value,name=value``; none of an empty text.

    Raises:
        InputError: not pairs, or a name that occurs twice.
    """
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        name, _, value = pair.partition("=")
        if not name or not value or name in found:
            raise InputError(field, text, "give NAME=VALUE, comma-separated, each name once")
        found[name] = value
    return found


def open_rows(source: str, field: str = "prompts") -> Rows:
    """The rows of a source.

    Args:
        source: a file that ends in .jsonl or .json (JSON lines, or one JSON array of objects) or
            in .parquet; or NAME or NAME:CONFIG:SPLIT, where NAME is OWNER/NAME on the Hugging Face
            hub or the folder of a data set, and CONFIG and SPLIT may be empty.
        field: the option that named the source, for messages.

    Raises:
        InputError: it cannot be found or read, or is empty.
    """
    path = Path(source)
    if path.suffix in (".jsonl", ".json"):
        rows = _json(path, field)
    elif path.suffix == ".parquet":
        rows = _parquet(path, field)
    elif path.is_file():
        raise InputError(field, source, "give a .jsonl, .json or .parquet file")
    else:
        rows = _hugging_face(source, field)
    return rows


def _json(path: Path, field: str) -> Rows:
    def readable() -> AbstractContextManager[None]:
        return _readable(path, "UTF-8 text", field, UnicodeDecodeError)

    def read_lines(_: Sequence[str] = ()) -> Iterator[Row]:
        # Windows programs begin a file with a byte-order mark.
        with readable(), path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _object(f"{path}, line {number}", _value(path, number, line))

    with readable(), path.open(encoding="utf-8-sig") as file:
        start = next(filter(str.strip, file), "")
    if not start:
        raise InputError(field, str(path), f"it is empty; {ONE_OBJECT}")
    if not start.lstrip().startswith("["):
        return Rows(str(path), tuple(next(read_lines())[1]), read_lines, "line")
    array = _array(path, field)

    def read_array(_: Sequence[str] = ()) -> Iterator[Row]:
        return enumerate(array, start=1)

    return Rows(str(path), tuple(array[0]), read_array)


def _array(path: Path, field: str) -> list[dict[str, object]]:
    """The objects of a file that is one JSON array."""
    with _readable(path, "UTF-8 text", field, UnicodeDecodeError):
        text = path.read_text(encoding="utf-8-sig")
    try:
        values = parse_json(text)
    except ValueError as error:
        raise InputError(field, str(path), f"not JSON: {error}; {ONE_OBJECT}") from None
    if not values:
        raise InputError(field, str(path), f"it is empty; {ONE_OBJECT}")
    return [_object(f"{path}, row {n}", value) for n, value in enumerate(values, start=1)]


def _value(path: Path, number: int, line: str) -> object:
    try:
        return parse_json(line)
    except ValueError as error:
        shown = line[:SHOWN_CHARACTERS]
        raise InputError(f"{path}, line {number}", shown, f"not JSON: {error}") from None


def _object(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InputError(where, str(value)[:SHOWN_CHARACTERS], ONE_OBJECT)
    return value


def _parquet(path: Path, field: str) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def readable() -> AbstractContextManager[None]:
        return _readable(path, "Parquet", field, pa.ArrowException)

    with readable(), pq.ParquetFile(path) as file:
        schema, empty = file.schema_arrow, not file.metadata.num_rows
    if empty:
        raise InputError(field, str(path), "it is empty")

    def read(wanted: Sequence[str]) -> Iterator[Row]:
        with readable(), pq.ParquetFile(path) as file:
            batches = file.iter_batches(READ_AT_ONCE, columns=list(wanted))
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from enumerate(rows, start=1)

    plain = tuple(field.name for field in schema if not _holds_others(field.type))
    return Rows(str(path), tuple(schema.names), read, plain=plain)


def _holds_others(kind: Any) -> bool:
    """Whether the cells of a Parquet column are more than texts, numbers and truth values."""
    from pyarrow.types import is_binary, is_fixed_size_binary, is_large_binary, is_nested

    binary = is_binary(kind) or is_large_binary(kind) or is_fixed_size_binary(kind)
    return bool(binary or is_nested(kind))


@contextmanager
def _readable(path: Path, kind: str, field: str, damage: type[Exception]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error if error.errno is None else os.strerror(error.errno)
        raise InputError(field, str(path), f"cannot be read: {why}") from None
    except damage as error:
        raise InputError(field, str(path), f"not {kind} ({error})") from None


def _hugging_face(source: str, field: str) -> Rows:
    whole = Path(source).is_dir()
    name, config, split = ([source, "", ""] if whole else [*source.split(":", 2), "", ""])[:3]
    if not (Path(name).is_dir() or HUB_NAME.fullmatch(name)):
        raise InputError(
            field,
            source,
            "no such file or folder; data sets on the hub are OWNER/NAME[:CONFIG:SPLIT]",
        )
    try:
        found = _load(name, config, split, field)
    except InputError:
        raise
    except Exception as error:  # raised by datasets, the hub, Arrow or the file system
        raise InputError(
            field, source, f"no such file, and no data set that loads: {error}"
        ) from None
    if not len(found):
        raise InputError(field, source, "it is empty")

    def read(wanted: Sequence[str]) -> Iterator[Row]:
        yield from enumerate(found.select_columns(list(wanted)), start=1)

    from datasets import Value

    features = found.features.items()
    plain = tuple(name for name, kind in features if isinstance(kind, Value))
    return Rows(source, tuple(found.column_names), read, plain=plain)


def _load(name: str, config: str, split: str, field: str) -> Any:
    """Load one split of a data set: from a folder of `save_to_disk`, any other folder, or the hub.

    Without a named split there must be only one.
    """
    require("datasets", field, name)
    import datasets

    if not any((Path(name) / mark).is_file() for mark in ("state.json", "dataset_dict.json")):
        # A named split may be a slice, such as train[:500].
        asked = split or _split(
            name, "", field, datasets.get_dataset_split_names(name, config or None)
        )
        return datasets.load_dataset(name, config or None, split=asked)
    found = datasets.load_from_disk(name)
    if isinstance(found, datasets.Dataset):
        found = {str(found.split or "train"): found}
    return found[_split(name, split, field, list(found))]


def _split(name: str, asked: str, field: str, splits: Sequence[str]) -> str:
    if asked in splits:
        return asked
    if not asked and len(splits) == 1:
        return splits[0]
    raise InputError(
        field, name, f"choose a split of {', '.join(splits)}, as in {name}::{splits[0]}"
    )
