"""Reads of a verifier's engine begin together; a lone one begins at once. Time is virtual."""

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.simulator import clock
from runtime.verifiers.pacing import LONGEST, SPACING, ReadPacer

READ = 0.004  # seconds
SPACED = SPACING * READ


def begun(arrivals: Sequence[float], seconds: float = READ) -> list[float]:
    """When reads begin that come at these times and take so long, in the order of arrival."""

    async def work() -> list[float]:
        pacer, now = ReadPacer(), asyncio.get_running_loop().time

        async def one(arrival: float) -> float:
            await asyncio.sleep(arrival)

            async def read() -> float:
                at = now()
                await asyncio.sleep(seconds)
                return at

            return await pacer.read(read)

        return await asyncio.gather(*map(one, arrivals))

    return clock.run(work())[0]


def test_reads_some_time_apart_begin_when_they_come() -> None:
    arrivals = [0.0, 1.1 * SPACED, 2.2 * SPACED, 1.0]
    assert begun(arrivals) == arrivals


def test_reads_of_one_moment_begin_together_at_once() -> None:
    assert begun([0.0, 0.0, 0.001]) == [0.0, 0.0, 0.001]


def test_reads_in_quick_succession_wait_for_each_other() -> None:
    arrivals = [0.0, 0.01, 0.02, 0.05, 0.09, 0.1, 0.3]
    turn, next_turn = SPACED, 2 * SPACED
    expected = [0.0, turn, turn, turn, next_turn, next_turn, 0.3]
    assert begun(arrivals) == pytest.approx(expected)


@pytest.mark.parametrize(("seconds", "spacing"), [(0.001, 0.02), (1.0, LONGEST)])
def test_slow_reads_have_more_company_up_to_a_limit(seconds: float, spacing: float) -> None:
    # Two that show how long a read takes, then two that come close after each other.
    assert begun([0.0, 3.0, 3.01], seconds)[1:] == pytest.approx([3.0, 3.0 + spacing])


def test_who_gives_up_while_waiting_reads_nothing() -> None:
    async def work() -> list[str]:
        pacer, read = ReadPacer(), []

        async def reading(text: str) -> None:
            read.append(text)
            await asyncio.sleep(READ)

        await pacer.read(lambda: reading("first"))
        await asyncio.sleep(READ)
        waiting = [
            asyncio.ensure_future(pacer.read(lambda text=text: reading(text)))  # type: ignore[misc]
            for text in ("given up", "last")
        ]
        await asyncio.sleep(READ)
        waiting[0].cancel()
        await asyncio.wait(waiting)
        return read

    assert clock.run(work())[0] == ["first", "last"]


def test_an_error_reaches_its_caller_and_others_go_on() -> None:
    async def work() -> str:
        pacer = ReadPacer()

        async def fails() -> str:
            raise ValueError("no")

        async def works() -> str:
            return "read"

        with pytest.raises(ValueError, match="no"):
            await pacer.read(fails)
        return await pacer.read(works)

    assert clock.run(work())[0] == "read"
