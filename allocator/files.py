"""Files that appear whole or not at all, and what is kept in them."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from allocator.errors import InputError
from allocator.migrate import Document, Migrations, up_to_date
from allocator.schema import Schema


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A scratch file beside `path` to write to; it becomes `path` if the block ends well.

    After an error the scratch file is gone and `path` is as it was.
    """
    scratch = path.with_name(path.name + ".partial")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


RUN_AGAIN = "make room and run the same command again"


@contextmanager
def reports_unwritable(field: str, path: Path, hint: str = "choose another") -> Iterator[None]:
    """Report a file or folder that cannot be written as an InputError, with what to do about it."""
    try:
        yield
    except OSError as error:
        in_its_way = isinstance(error, FileExistsError)
        why = "a file is in its way" if in_its_way else error.strerror or error
        raise InputError(field, str(path), f"cannot be written ({why}); {hint}") from None


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON, or more than Python reads: nested too deeply, or a whole number of too
            many digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            raise
        limit = sys.get_int_max_str_digits()
        raise ValueError(f"a whole number has more than {limit} digits") from None


class JsonArtifact(Schema):
    """A part of an artifact: immutable, and kept as one JSON file.

    Attributes:
        INDENT: how the file is laid out; None where it is all numbers.
        MIGRATIONS: what brings older files up to date, see `allocator.migrate`.
    """

    INDENT: ClassVar[int | None] = 1
    MIGRATIONS: ClassVar[Migrations] = {}

    def save(self, path: Path) -> None:
        """Write as JSON; the file appears whole or not at all."""
        with atomic_write(path) as scratch:
            scratch.write_text(self.model_dump_json(indent=self.INDENT) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it back; a file of an older schema version is brought up to date.

        Raises:
            InputError: no such file, one that cannot be read, a damaged one, or one of an unknown
                schema version.
        """
        try:
            document = parse_json(path.read_bytes())
            if not isinstance(document, dict):
                raise TypeError("it is not a JSON object")
            return cls.model_validate(cls._up_to_date(document))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                path.stem, str(path), "no such file; make one with ttc calibrate"
            ) from None
        except OSError as error:
            raise InputError(path.stem, str(path), f"cannot be read ({error.strerror})") from None
        except InputError:  # of another schema version
            raise
        except (ValueError, KeyError, TypeError) as error:
            why = first_error(error) if isinstance(error, ValidationError) else error
            raise InputError(path.stem, str(path), f"damaged; calibrate again ({why})") from None

    @classmethod
    def _up_to_date(cls, document: Document) -> Document:
        if (version := cls.model_fields.get("schema_version")) is None:
            return document
        return up_to_date(document, version.default, cls.MIGRATIONS)


def first_error(error: ValidationError | UnicodeDecodeError) -> str:
    """What is wrong with a file, in one line: of a validation's errors the first, and its place."""
    if isinstance(error, UnicodeDecodeError):
        return str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
