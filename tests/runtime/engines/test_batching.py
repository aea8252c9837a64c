"""Requests of several event loops to one model."""

import asyncio
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import pytest

from allocator.errors import InputError, ModelError
from runtime.engines.batching import MicroBatcher
from tests.support.fakes import SOON


def test_a_loop_is_answered_where_another_has_given_up_a_batch_that_is_still_at_work() -> None:
    began, go_on, over = Event(), Event(), Event()

    def double(items: list[int]) -> list[int]:
        if items == [1]:
            began.set()
            go_on.wait(SOON)
        return [2 * item for item in items]

    batcher = MicroBatcher(double, 8)

    async def gives_up() -> None:
        request = asyncio.create_task(batcher.submit(1))
        await asyncio.to_thread(began.wait, SOON)
        request.cancel()
        await asyncio.to_thread(over.wait, SOON)

    async def worth_continuing() -> None:
        request = asyncio.create_task(batcher.submit(2))
        await asyncio.sleep(0)  # it waits behind the other's
        go_on.set()
        answers.put(await request)  # no timer here, which would wake a loop that sleeps for ever

    answers: SimpleQueue[int] = SimpleQueue()
    other = Thread(target=asyncio.run, args=(gives_up(),))
    other.start()
    began.wait(SOON)
    Thread(target=lambda: asyncio.run(worth_continuing()), daemon=True).start()
    try:
        assert answers.get(timeout=SOON) == 4
    finally:
        over.set()
        other.join()
        batcher.close()


def test_requests_of_a_moment_are_one_batch_and_a_cancelled_one_is_in_none() -> None:
    batches: list[list[int]] = []

    def double(items: list[int]) -> list[int]:
        batches.append(items)
        return [2 * item for item in items]

    batcher = MicroBatcher(double, 3)

    async def run() -> list[int]:
        gone = asyncio.create_task(batcher.submit(0))
        requests = [asyncio.create_task(batcher.submit(item)) for item in range(1, 6)]
        await asyncio.sleep(0)
        gone.cancel()
        return list(await asyncio.gather(*requests))

    assert asyncio.run(run()) == [2, 4, 6, 8, 10]
    assert batches == [[1, 2], [3, 4, 5]]
    assert asyncio.run(run()) == [2, 4, 6, 8, 10], "a second loop, after the first has ended"
    batcher.close()


def test_the_model_is_let_go_once_and_after_the_batch_that_runs() -> None:
    order: list[str] = []
    began, go_on, released = Event(), Event(), Event()

    def release() -> None:
        order.append("released")
        released.set()

    def echo(items: list[int]) -> list[int]:
        began.set()
        go_on.wait(SOON)
        order.append("answered")
        return items

    batcher = MicroBatcher(echo, 8)

    async def run() -> int:
        request = asyncio.create_task(batcher.submit(1))
        await asyncio.to_thread(began.wait, SOON)
        batcher.close(release)
        batcher.close(release)
        go_on.set()
        return await request

    assert asyncio.run(run()) == 1
    assert released.wait(SOON)
    assert order == ["answered", "released"]


def test_what_waits_when_it_is_closed_is_told_so() -> None:
    batcher: MicroBatcher[int, int] = MicroBatcher(lambda items: items, 8)

    async def run() -> None:
        request = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0)
        batcher.close()
        for waiting in (request, batcher.submit(2)):
            with pytest.raises(ModelError, match="closed"):
                await waiting

    asyncio.run(run())


def test_a_result_is_delivered_before_its_batch_is_through() -> None:
    go_on = Event()

    def slow(items: list[list[str]]) -> list[str]:
        batcher.deliver(items[0], "early")
        go_on.wait(SOON)
        return ["late"] * len(items)

    batcher: MicroBatcher[list[str], str] = MicroBatcher(slow, 8)

    async def run() -> list[str]:
        first, second = (asyncio.create_task(batcher.submit([name])) for name in "ab")
        found = [await asyncio.wait_for(first, SOON)]
        assert not second.done()
        go_on.set()
        return [*found, await second]

    assert asyncio.run(run()) == ["early", "late"]
    batcher.close()


def test_nothing_is_delivered_to_a_loop_that_is_gone() -> None:
    began, gone, delivered = Event(), Event(), SimpleQueue[str]()

    def slow(items: list[list[str]]) -> list[str]:
        began.set()
        gone.wait(SOON)
        batcher.deliver(items[0], "late")
        delivered.put("no error")
        return ["late"]

    batcher: MicroBatcher[list[str], str] = MicroBatcher(slow, 8)

    async def gives_up() -> None:
        request = asyncio.create_task(batcher.submit(["a"]))
        await asyncio.to_thread(began.wait, SOON)
        request.cancel()

    asyncio.run(gives_up())
    gone.set()
    assert delivered.get(timeout=SOON) == "no error"
    batcher.close()


@pytest.mark.parametrize(
    ("raised", "known"),
    [
        (InputError("model", "m", "transformers cannot load it"), InputError),
        (ModelError("verifier", "it died"), ModelError),
        (RuntimeError("CUDA out of memory"), ModelError),
    ],
)
def test_whatever_the_model_raises_is_an_error_that_callers_know(
    raised: Exception, known: type[Exception]
) -> None:
    def fails(items: list[int]) -> list[int]:
        raise raised

    batcher = MicroBatcher(fails, 8)

    async def run() -> None:
        found = await asyncio.gather(*map(batcher.submit, (1, 2)), return_exceptions=True)
        for error in found:
            assert isinstance(error, known)
            assert str(raised) in str(error)

    asyncio.run(run())
    batcher.close()


def test_only_the_request_that_the_model_cannot_take_fails() -> None:
    runs: list[list[int]] = []

    def limited(items: list[int]) -> list[int]:
        runs.append(items)
        if sum(items) > 5:
            raise MemoryError("out of memory")
        return [2 * item for item in items]

    batcher = MicroBatcher(limited, 8)

    async def run() -> list[Any]:
        return await asyncio.gather(*map(batcher.submit, (1, 2, 9, 3)), return_exceptions=True)

    one, two, failed, three = asyncio.run(run())
    assert (one, two, three) == (2, 4, 6)
    assert isinstance(failed, ModelError)
    assert runs == [[1, 2, 9, 3], [1, 2], [9, 3], [9], [3]]
    batcher.close()
