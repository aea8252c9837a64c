"""The thread in which models live for callers that do not await."""

import asyncio
import gc
import threading
from contextlib import ExitStack
from typing import cast

from runtime.background import SolverThread
from runtime.solve import Solver

SOON = 20.0  # seconds that what takes none may take here, before it is said to hang


def test_one_that_is_collected_as_garbage_in_its_own_thread_closes_itself() -> None:
    closed = threading.Event()
    loops, threads = [], []

    def opened(stack: ExitStack) -> Solver:
        stack.callback(closed.set)
        loops.append(asyncio.get_running_loop())
        threads.append(threading.current_thread())
        return cast(Solver, object())

    gc.disable()
    try:
        forgotten = SolverThread(opened)
        vars(forgotten)["itself"] = forgotten  # a cycle, which only the collector undoes
        del forgotten
        loops[0].call_soon_threadsafe(gc.collect)
        assert closed.wait(SOON)
        threads[0].join(SOON)
        assert not threads[0].is_alive()
    finally:
        gc.enable()
