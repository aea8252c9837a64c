"""Worker processes for calls that might never return: past its deadline a call's process is killed.

Joblib's loky runs them: they start without importing the caller's main module, in any thread.
"""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore
from typing import Any

from runtime.processes import begin_worker

START_SECONDS = 120.0  # to start and to import sympy, on a machine that may be busy
MAX_PROCESSES = 4


class OverdueError(Exception):
    """A call that did not return in time, or whose process died of it."""


class WorkerPool:
    """Processes, started when they are needed, that run one call at a time each; one a core at
    most, up to `MAX_PROCESSES`.

    Args:
        prepare: called once in each new process, outside of any deadline.
    """

    def __init__(self, prepare: Callable[[], object] | None = None) -> None:
        self.processes = min(MAX_PROCESSES, os.cpu_count() or 1)
        self._prepare = prepare
        self._places = BoundedSemaphore(self.processes)
        self._idle: SimpleQueue[_Worker] = SimpleQueue()

    def call(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns, or raises, in another process.

        Args:
            seconds: the deadline, from when a process takes the call.
            function: importable by its name.
            arguments: picklable.

        Raises:
            OverdueError: it took longer; its process is killed.
        """
        with self._places:
            worker = self._taken()
            try:
                result = worker.call(seconds, function, arguments)
            except OverdueError:
                worker.kill()
                raise
            except Exception:  # the function's own
                self._idle.put(worker)
                raise
            except BaseException:  # an interrupt: no caller waits for the worker any more
                worker.kill()
                raise
            self._idle.put(worker)
            return result

    def map(
        self, seconds: float, function: Callable[[str], Any], items: Sequence[str], max_overdue: int
    ) -> dict[str, Any]:
        """Results of `function` by item, on all processes; None where it was overdue.

        After so many overdue ones the items that are left are not tried, and not among the results.
        """
        found: dict[str, Any] = {}

        def one(item: str) -> None:
            if sum(result is None for result in list(found.values())) >= max_overdue:
                return
            try:
                found[item] = self.call(seconds, function, item)
            except OverdueError:
                found[item] = None

        with ThreadPoolExecutor(min(self.processes, len(items))) as threads:
            list(threads.map(one, items))
        return found

    def _taken(self) -> "_Worker":
        try:
            return self._idle.get_nowait()
        except Empty:
            return _Worker(self._prepare)


class _Worker:
    """One process."""

    def __init__(self, prepare: Callable[[], object] | None) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        self._executor = ProcessPoolExecutor(1, initializer=begin_worker, initargs=(os.getpid(),))
        try:
            self._executor.submit(prepare or os.getpid).result(START_SECONDS)
        except TimeoutError:
            self.kill()
            raise OverdueError(f"no process was ready in {START_SECONDS:g} seconds") from None
        except BaseException:
            self.kill()
            raise

    def call(self, seconds: float, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """What the function returns in the process.

        Raises:
            OverdueError: it took too long, or the process died.
        """
        from joblib.externals.loky.process_executor import BrokenProcessPool

        try:
            return self._executor.submit(_run, seconds, function, arguments).result(seconds)
        except (TimeoutError, BrokenProcessPool):
            what = f"{function.__name__} took over {seconds:g} seconds, or its process died"
            raise OverdueError(what) from None

    def kill(self) -> None:
        self._executor.shutdown(wait=False, kill_workers=True)


def _run(seconds: float, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    # The kernel's alarm ends this process even within one long operation, where no thread of it
    # would come to see that its parent has gone.
    signal.alarm(int(seconds) + 5)
    try:
        return function(*arguments)
    finally:
        signal.alarm(0)
