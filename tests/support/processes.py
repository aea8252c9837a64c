"""What processes are given to do in tests of processes."""

import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def note_and_wait(folder: Path) -> None:
    """Leave the process's id as the name of a file, then be busy for an hour."""
    (folder / str(os.getpid())).touch()
    time.sleep(3600)


def process_of(_: int) -> int:
    """The id of the process that runs this."""
    return os.getpid()


def imported(names: Sequence[str]) -> list[str]:
    """Which of these modules the process has imported, once it can replay records."""
    importlib.import_module("calibration.replay.replay_part")
    return [name for name in names if name in sys.modules]


def alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
