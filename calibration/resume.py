"""Records on disk as they are collected: a calibration that was killed goes on where it was."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from allocator.files import whole_file
from calibration.collect import PromptRecord
from calibration.store import read_records, write_records

IDENTITY = "made_with.json"
FLUSH_SECONDS = 1.0


class SampleStore:
    """Part files of records, each of which appears whole or not at all.

    Records come back as they were written, whether or not the run that wrote them was the one that
    reads them: a resumed calibration ends in the same table as one that was never stopped.

    Args:
        folder: where the parts lie; made where there is none.
        made_with: what the records depend on; parts made with something else are refused.

    Raises:
        InputError: the folder holds records made with something else, or cannot be written.
    """

    def __init__(self, folder: Path, made_with: Mapping[str, Any]) -> None:
        self.folder = folder
        self._waiting: list[PromptRecord] = []
        self._flushed = time.monotonic()
        identity = json.dumps(made_with, sort_keys=True, default=str)
        path = folder / IDENTITY
        if path.is_file():
            if path.read_text() != identity:
                raise InputError(
                    "samples",
                    str(folder),
                    "they were made with other prompts, models or settings; remove them, or "
                    "choose another --out",
                )
        else:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as scratch:
                    scratch.write_text(identity)
            except OSError as error:
                why = error.strerror or error
                raise InputError(
                    "out", str(folder), f"cannot be written ({why}); choose another"
                ) from None
        self._parts = sorted(folder.glob("part-*.parquet"))
        self.done = {record.prompt for record in self._read()}

    def add(self, record: PromptRecord) -> None:
        """Keep a record; it is on disk a second later at most, or with the next one.

        Raises:
            InputError: the disk is full or gone; what was written before stays.
        """
        self._waiting.append(record)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits to be written."""
        if not self._waiting:
            return
        path = self.folder / f"part-{len(self._parts):06d}.parquet"
        try:
            write_records(self._waiting, path)
        except OSError as error:
            why = error.strerror or error
            raise InputError(
                "samples",
                str(path),
                f"cannot be written ({why}); nothing before it is lost: make room and "
                "run the same command again",
            ) from None
        self._parts.append(path)
        self._waiting, self._flushed = [], time.monotonic()

    def records(self) -> list[PromptRecord]:
        """All records."""
        self.flush()
        return self._read()

    def _read(self) -> list[PromptRecord]:
        return [record for part in self._parts for record in read_records(part)]

    def remove(self) -> None:
        """Remove the parts: the artifact holds the records now."""
        shutil.rmtree(self.folder)
