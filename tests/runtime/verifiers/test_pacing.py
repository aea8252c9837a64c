"""Reads of a verifier's engine begin together; a lone one begins at once. Time is virtual."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.simulator import clock
from runtime.verifiers.pacing import BURST, LONGEST, MOMENT, SPACING, ReadPacer

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
    arrivals = [0.0, *(SPACED * (number + 1.1) for number in range(20))]
    assert begun(arrivals) == pytest.approx(arrivals)


def test_reads_of_one_moment_begin_together_at_once() -> None:
    arrivals = [0.0, 0.0, 0.001] * BURST + [0.0] * 20
    assert begun(arrivals) == arrivals


def test_a_few_reads_in_quick_succession_do_not_wait() -> None:
    arrivals = [0.01 * number for number in range(BURST)]
    assert begun([*arrivals, 10.0, *(10.0 + arrival for arrival in arrivals[1:])]) == pytest.approx(
        [*arrivals, 10.0, *(10.0 + arrival for arrival in arrivals[1:])]
    )


@pytest.mark.parametrize(("seconds", "spacing"), [(READ, SPACED), (0.001, 0.02), (0.05, LONGEST)])
def test_many_wait_for_each_other_and_passes_are_some_time_apart(
    seconds: float, spacing: float
) -> None:
    arrivals = [0.003 * number for number in range(1000)]
    found = begun(arrivals, seconds)
    waits = np.array(found) - arrivals
    assert waits.min() > -1e-9
    assert waits.max() <= spacing + 1e-9
    passes: list[float] = []
    for at in sorted(found):
        if not passes or at > passes[-1] + MOMENT + 1e-9:  # others go with the last
            passes.append(at)
    later = [at for at in passes if at > 1.5]  # when no pass may follow at once any more
    assert np.diff(later) == pytest.approx(spacing, abs=1e-4)


def test_who_gives_up_while_waiting_reads_nothing() -> None:
    async def work() -> list[str]:
        pacer, read = ReadPacer(), []

        async def reading(text: str) -> None:
            read.append(text)
            await asyncio.sleep(READ)

        for _ in range(2 * BURST):
            await pacer.read(lambda: reading("first"))
        waiting = [
            asyncio.ensure_future(pacer.read(lambda text=text: reading(text)))  # type: ignore[misc]
            for text in ("given up", "last")
        ]
        await asyncio.sleep(READ)
        waiting[0].cancel()
        await asyncio.wait(waiting)
        return read

    read = clock.run(work())[0]
    assert read == ["first"] * 2 * BURST + ["last"]


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
