"""Rows of a data set, wherever it lies: JSON lines, Parquet, or a Hugging Face data set."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from allocator.extras import require

# Where a row stands, for error messages, and its columns.
Row = tuple[str, dict[str, object]]

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Rows:
    """A data set that can be read once or more.

    Attributes:
        source: as the user named it.
        columns: its columns; of JSON lines, those of the first row.
        read: its rows, with the columns asked for and perhaps others.
    """

    source: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[Row]]


def pairs(field: str, text: str) -> dict[str, str]:
    """The pairs of ``name=value,name=value``; none of an empty text.

    Raises:
        InputError: not pairs, or a name twice.
    """
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        name, _, value = pair.partition("=")
        if not name or not value or name in found:
            raise InputError(field, text, "give NAME=VALUE, comma-separated, each name once")
        found[name] = value
    return found


def open_rows(source: str) -> Rows:
    """The rows of a source.

    Args:
        source: a file that ends in .jsonl, .json (JSON lines, too) or .parquet; or NAME or
            NAME:CONFIG:SPLIT, where NAME is OWNER/NAME on the Hugging Face hub or the folder of a
            data set, and CONFIG and SPLIT may be empty.

    Raises:
        InputError: it cannot be found or read, or is empty.
    """
    path = Path(source)
    if path.suffix in (".jsonl", ".json"):
        return _json_lines(path)
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.is_file():
        raise InputError("prompts file", source, "give a .jsonl, .json or .parquet file")
    return _hugging_face(source)


def _json_lines(path: Path) -> Rows:
    def read(_: Sequence[str] = ()) -> Iterator[Row]:
        with (
            _readable(path, "UTF-8 text; give JSON lines", UnicodeDecodeError),
            path.open(encoding="utf-8") as file,
        ):
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _json_row(f"{path}, line {number}", line)

    first = next(read(), None)
    if first is None:
        raise InputError("prompts file", str(path), "it is empty; give one JSON object a line")
    return Rows(str(path), tuple(first[1]), read)


def _json_row(where: str, line: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(where, line[:60], f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(where, line[:60], "give one JSON object a line")
    return where, row


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def readable() -> AbstractContextManager[None]:
        return _readable(path, "Parquet", pa.ArrowException)

    with readable(), pq.ParquetFile(path) as file:
        columns, empty = tuple(file.schema_arrow.names), not file.metadata.num_rows
    if empty:
        raise InputError("prompts file", str(path), "it is empty")

    def read(wanted: Sequence[str]) -> Iterator[Row]:
        with readable(), pq.ParquetFile(path) as file:
            batches = file.iter_batches(columns=list(wanted))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield f"{path}, row {number}", row

    return Rows(str(path), columns, read)


@contextmanager
def _readable(path: Path, kind: str, damage: type[Exception]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise InputError("prompts file", str(path), f"cannot be read: {why}") from None
    except damage as error:
        raise InputError("prompts file", str(path), f"not {kind} ({error})") from None


def _hugging_face(source: str) -> Rows:
    whole = Path(source).is_dir()
    name, config, split = ([source, "", ""] if whole else [*source.split(":", 2), "", ""])[:3]
    if not (Path(name).is_dir() or HUB_NAME.fullmatch(name)):
        raise InputError(
            "prompts",
            source,
            "no such file or folder; data sets on the hub are OWNER/NAME[:CONFIG:SPLIT]",
        )
    try:
        found = _load(name, config, split)
    except InputError:
        raise
    except Exception as error:  # its own, the hub's, Arrow's, the file system's
        raise InputError(
            "prompts", source, f"no such file, and no data set that loads: {error}"
        ) from None
    if not len(found):
        raise InputError("prompts", source, "it is empty")

    def read(wanted: Sequence[str]) -> Iterator[Row]:
        for number, row in enumerate(found.select_columns(list(wanted)), start=1):
            yield f"{source}, row {number}", row

    return Rows(source, tuple(found.column_names), read)


def _load(name: str, config: str, split: str) -> Any:
    """One split of a data set: of a folder that `save_to_disk` wrote, any other folder, or the hub.

    A split that is not named is the only one there is.
    """
    require("datasets", "prompts", name)
    import datasets

    if not any((Path(name) / mark).is_file() for mark in ("state.json", "dataset_dict.json")):
        # A split that is named may be a slice, such as train[:500].
        asked = split or _split(name, "", datasets.get_dataset_split_names(name, config or None))
        return datasets.load_dataset(name, config or None, split=asked)
    found = datasets.load_from_disk(name)
    if isinstance(found, datasets.Dataset):
        found = {str(found.split or "train"): found}
    return found[_split(name, split, list(found))]


def _split(name: str, asked: str, splits: Sequence[str]) -> str:
    if asked in splits:
        return asked
    if not asked and len(splits) == 1:
        return splits[0]
    raise InputError(
        "prompts", name, f"choose a split of {', '.join(splits)}, as in {name}::{splits[0]}"
    )
