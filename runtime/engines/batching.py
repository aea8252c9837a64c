"""Requests from many coroutines, gathered into batches for one model."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from traceback import clear_frames
from typing import Generic, TypeVar

from allocator.errors import InputError, ModelError
from runtime.concurrency import pass_on

Item = TypeVar("Item")
Result = TypeVar("Result")

_Request = tuple[Item, asyncio.Future[Result]]

# Seconds that the first request of a batch waits for further requests.
LATENCY = 0.002


class MicroBatcher(Generic[Item, Result]):
    """Runs a batch function in a thread of its own over whatever has gathered.

    While a batch runs, the next one gathers. A batch starts as soon as the thread is free, after
    a short wait that lets requests of the same moment arrive together. Each event loop has
    batches of its own: of two loops one may still have a batch at work, all given up, when the
    other begins.

    Args:
        run: takes a list of items, returns as many results. Runs in one thread. Where it fails with
            an error other than InputError or ModelError, it is run again on each half of the items
            without a result.
        max_items: the largest batch.
    """

    def __init__(self, run: Callable[[list[Item]], list[Result]], max_items: int) -> None:
        self._run, self._max_items = run, max_items
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Request[Item, Result]]] = {}
        self._at_work: dict[int, asyncio.Future[Result]] = {}  # by the item's identity
        self._workers: set[asyncio.Task[None]] = set()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._closed = False

    async def submit(self, item: Item) -> Result:
        """The item's result.

        Raises:
            InputError: as the batch function raised it.
            ModelError: it has been closed, or the batch function failed otherwise.
        """
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if loop not in self._waiting:
            self._waiting[loop] = []
            worker = loop.create_task(self._drain())
            self._workers.add(worker)  # asyncio keeps only weak references to tasks
            worker.add_done_callback(self._workers.discard)
        self._waiting[loop].append((item, future))
        return await future

    def deliver(self, item: Item, result: Result) -> None:
        """Give an item's result before its batch is through; for the batch function to call.

        Items of a batch must be distinct objects. Cancelled requests get nothing.
        """
        future = self._at_work.get(id(item))
        if future is not None:
            pass_on(future.get_loop(), partial(_settle, future), result)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._waiting[loop]
        try:
            while waiting:
                await asyncio.sleep(LATENCY)
                first = waiting[: self._max_items]
                del waiting[: self._max_items]
                if batch := [(item, future) for item, future in first if not future.cancelled()]:
                    await self._answer(batch)
        finally:
            del self._waiting[loop]

    async def _answer(self, batch: list[_Request[Item, Result]]) -> None:
        try:
            results = await self._results(batch)
        except Exception as error:
            failure = _failure(error)
            again = failure is not error and len(batch) > 1
        else:
            for (_, future), result in zip(batch, results, strict=True):
                _settle(future, result)
            return
        left = [(item, future) for item, future in batch if not future.done()]
        if again:
            # One of them may be too much for the model, or all of them together.
            half = (len(left) + 1) // 2
            for part in filter(None, (left[:half], left[half:])):
                await self._answer(part)
        else:
            for _, future in left:
                future.set_exception(failure)

    async def _results(self, batch: list[_Request[Item, Result]]) -> list[Result]:
        items, loop = [item for item, _ in batch], asyncio.get_running_loop()
        self._at_work |= {id(item): future for item, future in batch}
        try:
            if self._closed:
                raise _closed()
            return await loop.run_in_executor(self._thread, self._run, items)
        finally:
            for item in items:
                self._at_work.pop(id(item), None)

    def close(self, release: Callable[[], None] = lambda: None) -> None:
        """Refuse further items: the running batch completes, waiting requests get ModelError.

        Args:
            release: called once in the thread when no batch runs any more, to let go of the model.
        """
        if not self._closed:
            self._closed = True
            with suppress(RuntimeError):  # the interpreter is ending, and with it all memory
                self._thread.submit(release)
        self._thread.shutdown(wait=False)


def _settle(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _failure(error: Exception) -> Exception:
    """The error as callers know it: any of the model's own, as of memory, is a ModelError."""
    if isinstance(error, InputError | ModelError):
        return error
    failure = ModelError("model", f"it failed ({type(error).__name__}: {error})")
    failure.__cause__ = error
    clear_frames(error.__traceback__)  # which hold what was computed so far, of a GPU's memory
    return failure


def _closed() -> ModelError:
    return ModelError("model", "it was closed during a request")
