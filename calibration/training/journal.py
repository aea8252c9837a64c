"""Finished work on disk, one line per prompt: an interrupted run resumes."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from allocator.errors import InputError
from runtime.concurrency import bounded

Item = TypeVar("Item")

PROMPTS_IN_FLIGHT = 256


class Journal:
    """JSON lines: the settings of the work first, then each prompt's result as it is done.

    A last line cut short by a crash is dropped, and its prompt is processed again. Results stay on
    disk until they are read: those of thousands of prompts are gigabytes in memory.

    Args:
        path: the file; created with its folder if there is none.
        settings: what the results depend on; results that depend on others are refused.

    Attributes:
        places: where the result of each prompt begins in the file, by the prompt's number.

    Raises:
        InputError: the file holds results of other settings, or is no journal.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.places: dict[int, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        whole, begun = 0, dict(settings)
        if path.is_file():
            with path.open("rb") as file:
                for number, line in enumerate(file):
                    if not line.endswith(b"\n"):
                        break
                    row = self._read(number, line)
                    if number:
                        self.places[row["prompt"]] = whole
                    else:
                        begun = row
                    whole += len(line)
            if begun != settings:
                if self.places:
                    raise InputError(
                        "journal",
                        str(path),
                        f"it was begun with {begun}, not {dict(settings)}; remove it, or choose "
                        "another file",
                    )
                whole = 0  # no result is lost
            os.truncate(path, whole)
        self._file = path.open("ab")
        if not whole:
            self._write(dict(settings))

    def _read(self, number: int, line: bytes) -> Any:
        try:
            row = json.loads(line)
            if number and not row.keys() >= {"prompt", "result"}:
                raise ValueError("not a prompt's result")
            return row
        except (ValueError, AttributeError) as error:
            raise InputError(
                "journal",
                str(self.path),
                f"line {number + 1} is damaged ({error}); remove the file",
            ) from None

    @staticmethod
    def begun_with(path: Path) -> dict[str, Any]:
        """The settings that a journal was begun with; empty where there is none to be read."""
        try:
            with path.open("rb") as file:
                begun = json.loads(file.readline())
        except (FileNotFoundError, ValueError):
            return {}
        return begun if isinstance(begun, dict) else {}

    def add(self, prompt: int, result: Any) -> None:
        """Store a prompt's result."""
        self.places[prompt] = self._file.tell()
        self._write({"prompt": prompt, "result": result})

    def result(self, prompt: int) -> Any:
        """A prompt's result.

        Raises:
            KeyError: there is none yet.
        """
        with self.path.open("rb") as file:
            file.seek(self.places[prompt])
            return json.loads(file.readline())["result"]

    async def fill(
        self,
        work: Callable[[tuple[int, Item]], Awaitable[None]],
        prompts: Sequence[Item],
        done: Callable[[object], None],
    ) -> None:
        """Call `work` on every prompt without a result; `work` adds the result itself."""
        todo = [item for item in enumerate(prompts) if item[0] not in self.places]
        for _ in range(len(prompts) - len(todo)):
            done(None)
        await bounded(work, todo, PROMPTS_IN_FLIGHT, done)

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
