"""Files that appear whole or not at all, and what is kept in them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

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
            raise InputError(
                path.stem, str(path), f"damaged, or of another version; calibrate again ({error})"
            ) from None
