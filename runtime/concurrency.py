"""Many coroutines at once, a bounded number in flight."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def bounded(
    work: Callable[[Item], Awaitable[Result]],
    items: Sequence[Item],
    in_flight: int,
    done: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """`work` on every item, at most `in_flight` at a time; results in the items' order.

    The first error cancels everything still running and is raised as it is.

    Args:
        work: a coroutine function of one item.
        items: what to work on.
        in_flight: how many at once.
        done: called with each result as it comes.
    """
    places = asyncio.Semaphore(in_flight)

    async def one(item: Item) -> Result:
        async with places:
            result = await work(item)
        done(result)
        return result

    return await together([one(item) for item in items])


async def together(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Results of coroutines run at once, in order.

    Unlike asyncio.gather, the first error (or a cancellation) stops the others before it is
    raised, so that nothing goes on sampling for an answer that will not come.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
