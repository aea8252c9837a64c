"""Files that appear whole or not at all, and what is kept in them."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from allocator.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A scratch file beside `path` to write to; it becomes `path` if the block ends well.

    After an error the scratch file is gone and `path` is as it was.
    """
    scratch = path.with_name(path.name + ".partial")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


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


class Stored(BaseModel):
    """A part of an artifact: immutable, and kept as one JSON file.

    Attributes:
        INDENT: how the file is laid out; None where it is all numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    INDENT: ClassVar[int | None] = 1

    def save(self, path: Path) -> None:
        """Write as JSON; the file appears whole or not at all."""
        with whole_file(path) as scratch:
            scratch.write_text(self.model_dump_json(indent=self.INDENT) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it back.

        Raises:
            InputError: no such file, damaged, or of another version.
        """
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError:
            raise InputError(
                path.stem, str(path), "no such file; make one with ttc calibrate"
            ) from None
        except (ValidationError, UnicodeDecodeError) as error:
            why = first_error(error)
            raise InputError(
                path.stem, str(path), f"damaged, or of another version; calibrate again ({why})"
            ) from None


def first_error(error: ValidationError | UnicodeDecodeError) -> str:
    """What is wrong with a file, in one line: of a validation's errors the first, and its place."""
    if isinstance(error, UnicodeDecodeError):
        return str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
