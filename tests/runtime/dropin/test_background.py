"""The thread in which models live for callers that do not await."""

import asyncio
import gc
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

import pytest

from runtime.dropin.background import SolverThread
from runtime.result import Spend
from runtime.solving.solve import Solver
from tests.support.fakes import SOON


@pytest.mark.slow
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


class Busy:
    """A solver that is never done."""

    def __init__(self) -> None:
        self.running = 0
        self.began = threading.Event()

    async def solve_all(self, *_: Any) -> None:
        self.running += 1
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


class TimeLimit(Exception):
    """As a task queue raises in a thread whose time is up."""


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, TimeLimit])
def test_an_interrupt_as_work_is_handed_over_leaves_nothing_running(
    raised: type[BaseException], begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver, loops = Busy(), []

    def opened(_: ExitStack) -> Solver:
        loops.append(asyncio.get_running_loop())
        return cast(Solver, solver)

    thread = SolverThread(opened)
    (loop,) = loops
    hand_over = loop.call_soon_threadsafe

    def interrupted(callback: Callable[[], object]) -> None:
        monkeypatch.setattr(loop, "call_soon_threadsafe", hand_over)
        if begun:
            hand_over(callback)
            assert solver.began.wait(SOON)
        raise raised

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(raised):
        thread.solve_all([], Spend(1))
    assert solver.running == 0
    thread.close()
