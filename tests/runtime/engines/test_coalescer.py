"""Calls that go together: which, what comes back, failures, and who gives up."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from allocator.errors import ModelError
from benchmarks.testbed.paths import SETTINGS
from runtime.engines.base import Completion
from runtime.engines.coalescer import MAX_CHOICES, EngineRequest, RequestCoalescer
from tests.support.fakes import SOON
from tests.support.waiting import eventually_in_loop, turns

Calls = Sequence[tuple[EngineRequest, int]]
Sent = list[tuple[EngineRequest, int, int]]

A = EngineRequest((1, 2), SETTINGS.sampling, 9, (), (), True)
B = replace(A, token_ids=(1, 3))
GREEDY = replace(A, settings=SETTINGS.sampling.model_copy(update={"temperature": 0.0}))


def completion(request: EngineRequest, seed: int) -> Completion:
    return Completion((*request.token_ids, seed), -1.0, True)


class Sender:
    """What is sent, and by and by answered."""

    def __init__(self, holds: bool = False) -> None:
        self.sent: Sent = []
        self.ends: list[str] = []
        self.go_on = asyncio.Event()
        if not holds:
            self.go_on.set()

    async def __call__(self, request: EngineRequest, seed: int, n: int) -> list[Completion]:
        self.sent.append((request, seed, n))
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ends.append("given up")
            raise
        self.ends.append("answered")
        return [completion(request, seed + i) for i in range(n)]


async def completed(grouping: RequestCoalescer, calls: Calls) -> list[Completion]:
    return await asyncio.gather(*(grouping.complete(request, seed) for request, seed in calls))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(A, 3)], [(A, 3, 1)]),
        ([(A, 5), (A, 4), (A, 3)], [(A, 3, 3)]),
        ([(A, 1), (B, 2), (A, 2)], [(A, 1, 2), (B, 2, 1)]),
        ([(A, 1), (A, 3)], [(A, 1, 1), (A, 3, 1)]),
        ([(A, i) for i in range(3)] * 2, [(A, 0, 3)] * 2),
        ([(A, i) for i in range(MAX_CHOICES + 1)], [(A, 0, MAX_CHOICES), (A, MAX_CHOICES, 1)]),
        ([(GREEDY, 1), (GREEDY, 2)], [(GREEDY, 1, 1), (GREEDY, 2, 1)]),
    ],
)
def test_seeds_that_follow_one_another_go_together(calls: Calls, expected: Sent) -> None:
    sender = Sender()
    found = asyncio.run(completed(RequestCoalescer(sender), calls))
    assert sender.sent == expected
    assert found == [completion(request, seed) for request, seed in calls]


def test_calls_of_another_moment_go_by_themselves() -> None:
    sender = Sender()

    async def one_after_the_other() -> None:
        grouping = RequestCoalescer(sender)
        await grouping.complete(A, 1)
        await grouping.complete(A, 2)

    asyncio.run(one_after_the_other())
    assert sender.sent == [(A, 1, 1), (A, 2, 1)]


def test_an_error_reaches_all_that_were_sent_together_and_no_other() -> None:
    async def send(request: EngineRequest, seed: int, n: int) -> list[Completion]:
        if request == A:
            raise ModelError("engine", "it is gone")
        return [completion(request, seed)] * n

    async def all_of(grouping: RequestCoalescer) -> list[Completion | BaseException]:
        calls = (grouping.complete(request, seed) for request, seed in [(A, 1), (B, 1), (A, 2)])
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = asyncio.run(all_of(RequestCoalescer(send)))
    assert isinstance(first, ModelError)
    assert isinstance(third, ModelError)
    assert second == completion(B, 1)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError], ids=["too few", "closed"])
def test_nobody_is_left_waiting(error: type[BaseException]) -> None:
    async def send(request: EngineRequest, seed: int, n: int) -> list[Completion]:
        if error is asyncio.CancelledError:
            raise error
        return [completion(request, seed)]

    async def three() -> list[Completion | BaseException]:
        grouping = RequestCoalescer(send)
        tasks = [asyncio.create_task(grouping.complete(A, seed)) for seed in range(3)]
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)

    assert [type(found) for found in asyncio.run(three())] == [error] * 3


@pytest.mark.parametrize("gone", [1, 3])
def test_a_request_is_given_up_once_nobody_waits_for_it(gone: int) -> None:
    sender = Sender(holds=True)

    async def some_go() -> list[Completion | BaseException]:
        grouping = RequestCoalescer(sender)
        tasks = [asyncio.create_task(grouping.complete(A, seed)) for seed in range(3)]
        await eventually_in_loop(lambda: sender.sent)
        for task in tasks[:gone]:
            task.cancel()
        await turns()
        sender.go_on.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await eventually_in_loop(lambda: sender.ends)
        return found

    found = asyncio.run(some_go())
    assert sender.ends == (["given up"] if gone == 3 else ["answered"])
    assert found[gone:] == [completion(A, seed) for seed in range(gone, 3)]


def test_what_is_cancelled_at_once_is_never_sent() -> None:
    sender = Sender()

    async def one_goes() -> None:
        grouping = RequestCoalescer(sender)
        gone = asyncio.ensure_future(grouping.complete(A, 1))
        stays = asyncio.ensure_future(grouping.complete(A, 2))
        asyncio.get_running_loop().call_soon(gone.cancel)
        await asyncio.gather(gone, stays, return_exceptions=True)

    asyncio.run(one_goes())
    assert sender.sent == [(A, 2, 1)]
