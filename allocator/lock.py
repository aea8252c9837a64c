"""A lock on a folder of results, for one process at a time; it ends with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from allocator.errors import InputError
from allocator.files import reports_unwritable

LOCK = "lock"

_held: set[IO[str]] = set()


def _close_in_child() -> None:
    """Close inherited locks: a forked child would hold them after its parent is killed."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def exclusive(path: Path, out: Path, field: str = "out") -> Iterator[None]:
    """Hold a lock while the block lasts. A killed process releases it.

    Args:
        path: the lock's file, which names the process; created with its folder, and removed.
        out: what is written while the lock is held, for messages.
        field: the option that named it, likewise.

    Raises:
        InputError: another process holds it, or the file cannot be written.
    """
    made = not path.parent.exists()
    with reports_unwritable(field, out):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = _opened(path)
        except BlockingIOError:
            holder = path.read_text() if path.is_file() else "another"
            raise InputError(
                field,
                str(out),
                f"process {holder} is writing there; wait for it, or choose another folder",
            ) from None
    _held.add(file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        _held.discard(file)
        file.close()
        if made:
            with suppress(OSError):  # the folder holds other files
                path.parent.rmdir()


def _opened(path: Path) -> IO[str]:
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            # Its former holder may have removed the file before this process locked it.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
        except OSError:
            file.close()
            raise
        file.close()


def check_writable(out: Path, field: str = "out") -> None:
    """Check that a file or a folder can be created at a path; nothing is left behind.

    Args:
        out: the path.
        field: the option that named it, for messages.

    Raises:
        InputError: it cannot.
    """
    missing = [parent for parent in out.parents if not parent.exists()]
    try:
        with reports_unwritable(field, out):
            out.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=out.parent):
                pass
    finally:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
