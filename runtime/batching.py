"""Requests from many coroutines, gathered into batches for a model that wants them together."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from allocator.errors import ModelError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds that the first request of a batch waits for company.
LATENCY = 0.002


class MicroBatcher(Generic[Item, Result]):
    """Runs a batch function in a thread of its own over whatever has gathered.

    While a batch runs, the next one gathers. A batch starts as soon as the thread is free, after
    a short wait that lets requests of the same moment arrive together.

    Args:
        run: takes a list of items, returns as many results. Runs in one thread.
        max_items: the largest batch.
    """

    def __init__(self, run: Callable[[list[Item]], list[Result]], max_items: int) -> None:
        self._run, self._max_items = run, max_items
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, item: Item) -> Result:
        """The item's result. An error in the batch function reaches every request of the batch.

        Raises:
            ModelError: it has been closed.
        """
        if self._closed:
            raise _closed()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(LATENCY)
            if self._closed:
                for _, future in self._waiting:
                    if not future.done():
                        future.set_exception(_closed())
                return
            batch, self._waiting = (
                self._waiting[: self._max_items],
                self._waiting[self._max_items :],
            )
            batch = [(item, future) for item, future in batch if not future.cancelled()]
            if not batch:
                continue
            try:
                results = await loop.run_in_executor(self._thread, self._run, [i for i, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    def close(self) -> None:
        """Take no more: the batch at work runs to its end, requests that wait get ModelError."""
        self._closed = True
        self._thread.shutdown(wait=False)


def _closed() -> ModelError:
    return ModelError("model", "it was closed while it had work to do")
