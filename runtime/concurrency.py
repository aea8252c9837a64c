"""Running many coroutines concurrently, with a bounded number in progress."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def sharing_cores() -> Iterator[None]:
    """Give each of two models that run side by side in this process half of its cores.

    With all cores each, their threads would wait for each other. Models must be opened inside the
    block.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def pass_on(loop: asyncio.AbstractEventLoop, take: Callable[[Item], object], given: Item) -> None:
    """Give something to another thread's event loop, unless that is closed: then nobody waits."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(take, given)


async def stream(
    work: Callable[[Item], Awaitable[Result]], items: Iterable[Item], in_flight: int
) -> AsyncGenerator[tuple[int, Result], None]:
    """Call `work` on every item; yields (item's number, result) as they complete.

    At most `in_flight` calls are in progress. The next item is taken only when there is room and
    the results so far have been consumed, so items may be endless. The first error cancels all
    running calls and is raised unchanged; closing the iterator (`aclose`) cancels them too.
    """
    source = enumerate(items)
    running: dict[asyncio.Future[Result], int] = {}
    try:
        while True:
            while len(running) < in_flight and (entry := next(source, None)) is not None:
                running[asyncio.ensure_future(work(entry[1]))] = entry[0]
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                number = running.pop(task)
                yield number, task.result()
    finally:
        await _cancel(running)


async def bounded(
    work: Callable[[Item], Awaitable[Result]],
    items: Iterable[Item],
    in_flight: int,
    done: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Results of `work` on every item, in the items' order.

    Args:
        work: a coroutine function of one item.
        items: the items.
        in_flight: maximum number of calls in progress.
        done: called with each result as it completes.
    """
    results: dict[int, Result] = {}
    async for number, result in stream(work, items, in_flight):
        results[number] = result
        done(result)
    return [results[number] for number in sorted(results)]


async def together(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Results of coroutines that run concurrently, in their order.

    Unlike asyncio.gather, the first error (or a cancellation) cancels the others before it is
    raised, so that no sampling continues for a result that is not used.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await _cancel(tasks)


async def _cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
