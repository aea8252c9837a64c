"""Calls that go together: which, what comes back, failures, and who gives up."""

import asyncio
from collections.abc import Sequence

import pytest

from allocator.errors import ModelError
from runtime.engines.grouping import MOST, Grouping

Sent = list[tuple[str, int, int]]


async def results(grouping: Grouping[str, str], calls: Sequence[tuple[str, int]]) -> list[str]:
    return await asyncio.gather(*(grouping.call(ask, seed) for ask, seed in calls))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([("a", 3)], [("a", 3, 1)]),
        ([("a", 5), ("a", 4), ("a", 3)], [("a", 3, 3)]),
        ([("a", 1), ("b", 2), ("a", 2)], [("a", 1, 2), ("b", 2, 1)]),
        ([("a", 1), ("a", 3)], [("a", 1, 1), ("a", 3, 1)]),
        ([("a", 1), ("a", 1), ("a", 2)], [("a", 1, 1), ("a", 1, 2)]),
        ([("a", i) for i in range(MOST + 1)], [("a", 0, MOST), ("a", MOST, 1)]),
    ],
)
def test_seeds_that_follow_one_another_go_together(
    calls: list[tuple[str, int]], expected: Sent
) -> None:
    sent: Sent = []

    async def send(ask: str, seed: int, n: int) -> list[str]:
        sent.append((ask, seed, n))
        return [f"{ask}{seed + i}" for i in range(n)]

    found = asyncio.run(results(Grouping(send), calls))
    assert sent == expected
    assert found == [f"{ask}{seed}" for ask, seed in calls]


def test_calls_of_another_moment_go_by_themselves() -> None:
    sent: Sent = []

    async def send(ask: str, seed: int, n: int) -> list[str]:
        sent.append((ask, seed, n))
        return [""] * n

    async def one_after_the_other() -> None:
        grouping = Grouping(send)
        await grouping.call("a", 1)
        await grouping.call("a", 2)

    asyncio.run(one_after_the_other())
    assert sent == [("a", 1, 1), ("a", 2, 1)]


def test_an_error_reaches_all_that_were_sent_together_and_no_other() -> None:
    async def send(ask: str, seed: int, n: int) -> list[str]:
        if ask == "bad":
            raise ModelError("engine", "it is gone")
        return ["fine"] * n

    async def all_of(grouping: Grouping[str, str]) -> list[str | BaseException]:
        calls = [("bad", 1), ("good", 1), ("bad", 2)]
        return await asyncio.gather(
            *(grouping.call(ask, seed) for ask, seed in calls), return_exceptions=True
        )

    first, second, third = asyncio.run(all_of(Grouping(send)))
    assert isinstance(first, ModelError)
    assert isinstance(third, ModelError)
    assert second == "fine"


@pytest.mark.parametrize("cancelled", [1, 3])
def test_a_request_is_given_up_once_nobody_waits_for_it(cancelled: int) -> None:
    ends: list[str] = []

    async def send(ask: str, seed: int, n: int) -> list[str]:
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            ends.append("given up")
            raise
        ends.append("answered")
        return ["fine"] * n

    async def some_go() -> list[str | BaseException]:
        grouping = Grouping(send)
        tasks = [asyncio.create_task(grouping.call("a", seed)) for seed in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks[:cancelled]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)
        return found

    found = asyncio.run(some_go())
    assert ends == (["given up"] if cancelled == 3 else ["answered"])
    assert found[cancelled:] == ["fine"] * (3 - cancelled)


def test_what_is_cancelled_at_once_is_never_sent() -> None:
    sent: Sent = []

    async def send(ask: str, seed: int, n: int) -> list[str]:
        sent.append((ask, seed, n))
        return [""] * n

    async def one_goes() -> None:
        grouping = Grouping(send)
        gone = asyncio.ensure_future(grouping.call("a", 1))
        stays = asyncio.ensure_future(grouping.call("a", 2))
        asyncio.get_running_loop().call_soon(gone.cancel)
        await asyncio.gather(gone, stays, return_exceptions=True)

    asyncio.run(one_goes())
    assert sent == [("a", 2, 1)]
