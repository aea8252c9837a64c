"""What every worker process of this library begins with."""

import os
import signal
import time
from threading import Thread

WATCH_SECONDS = 1.0


def begin_worker(parent: int) -> None:
    """In a new process: Ctrl-C is the parent's to hear, and it ends when the parent has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(0)
