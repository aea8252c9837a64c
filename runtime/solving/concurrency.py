"""Many coroutines at once, a bounded number in flight."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def stream(
    work: Callable[[Item], Awaitable[Result]], items: Iterable[Item], in_flight: int
) -> AsyncGenerator[tuple[int, Result], None]:
    """`work` on every item, at most `in_flight` at a time; (item's number, result) as they come.

    The next item is taken only when a place is free and the results so far have been read: a slow
    reader slows the work down, and endless items are fine. The first error cancels everything
    still running and is raised as it is; so does a reader that goes away (`aclose`).
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
    """Results of `work` on every item in the items' order, at most `in_flight` at a time.

    Args:
        work: a coroutine function of one item.
        items: what to work on.
        in_flight: how many at once.
        done: called with each result as it comes.
    """
    results: dict[int, Result] = {}
    async for number, result in stream(work, items, in_flight):
        results[number] = result
        done(result)
    return [results[number] for number in sorted(results)]


async def together(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Results of coroutines run at once, in order.

    Unlike asyncio.gather, the first error (or a cancellation) stops the others before it is
    raised, so that nothing goes on sampling for an answer that will not come.
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
