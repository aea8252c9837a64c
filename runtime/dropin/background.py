"""A solver for synchronous callers: its models run in an event loop in another thread."""

import asyncio
import concurrent.futures
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from threading import Thread, current_thread
from typing import Any, TypeVar

from allocator.errors import InputError
from runtime.request import Request
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver

Value = TypeVar("Value")


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._end = asyncio.Event()

        async def serve() -> None:
            started.set_result(asyncio.get_running_loop())
            await self._end.wait()

        # A daemon: at exit the interpreter waits for other threads before it closes anything.
        self._thread = Thread(target=lambda: asyncio.run(serve()), name="ttc-loop", daemon=True)
        self._thread.start()
        self._loop = started.result()

    @property
    def here(self) -> bool:
        """Whether the caller runs in the loop's thread, which cannot wait for itself."""
        return current_thread() is self._thread

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """The result of a coroutine.

        What is raised in this thread while it waits (Ctrl-C, a task queue's time limit) cancels the
        coroutine, and waits until it ends.
        """
        outcome: concurrent.futures.Future[Value] = concurrent.futures.Future()
        tasks: list[asyncio.Task[Value]] = []

        def start() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda task: _copy(task, outcome))

        def stop() -> None:
            if tasks:
                tasks[0].cancel()
            else:
                work.close()
                outcome.set_exception(asyncio.CancelledError())

        try:  # before the call below, because work may begin before that call returns
            self._loop.call_soon_threadsafe(start)
            return outcome.result()
        except BaseException:
            if not outcome.done():  # otherwise it is the coroutine's own
                self._loop.call_soon_threadsafe(stop)
                concurrent.futures.wait([outcome])
            raise

    def close(self) -> None:
        """End the loop and all tasks in it."""
        self._loop.call_soon_threadsafe(self._end.set)
        if not self.here:
            self._thread.join()


def _copy(task: asyncio.Task[Value], outcome: concurrent.futures.Future[Value]) -> None:
    if task.cancelled():
        outcome.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())


class SolverThread:
    """A solver in its own event loop.

    It is closed when it is garbage-collected, and when the interpreter exits.

    Args:
        opened: opens the solver, inside the loop; the stack closes what it opened.

    Attributes:
        solver: the solver; await it only in its own loop.
    """

    def __init__(self, opened: Callable[[ExitStack], Solver]) -> None:
        loop, stack = _LoopThread(), ExitStack()
        self._loop = loop
        self._close = weakref.finalize(self, _close, loop, stack)

        async def start() -> Solver:
            return opened(stack)

        try:
            self.solver = loop.run(start())
        except BaseException:
            self.close()
            raise

    def solve_all(
        self,
        requests: Sequence[Request],
        spend: Spend,
        done: Callable[[Result | Failure], None] = lambda _: None,
    ) -> list[Result | Failure]:
        """As `Solver.solve_all`; `done` is called in the loop's thread.

        Raises:
            InputError: as `Solver.solve_all`, or it has been closed.
        """
        if not self._close.alive:
            raise InputError("models", "closed", "open it anew")
        return self._loop.run(self.solver.solve_all(requests, spend, done))

    def close(self) -> None:
        """Release the models. It may be called twice."""
        self._close()


def _close(loop: _LoopThread, stack: ExitStack) -> None:
    async def close() -> None:
        stack.close()

    try:
        if loop.here:  # garbage may be collected in any thread
            stack.close()
        else:
            loop.run(close())
    finally:
        loop.close()
