"""Texts that reach a verifier's engine within a short while, sent to it together."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

Result = TypeVar("Result")

# A pass of an engine takes a fixed time, in which weights are read and kernels are launched,
# whatever it reads. Passes that begin this many of the shortest reads apart spend at most a
# twentieth of the time on it.
SPACING = 20
# Seconds between passes at most. A round of search takes about ten times as long.
LONGEST = 0.1
# Passes that may follow each other at once after a while with fewer: where few prompts are in
# progress, none waits.
BURST = 5
# Seconds within which texts have come at the same moment.
MOMENT = 0.002


class ReadPacer:
    """Lets the reads of a busy engine begin together, in passes some time apart.

    Beams of many searches end one by one, and each would have a pass of its own. A text is read at
    once as long as passes are `SPACING` of the shortest reads apart on average, which leaves out
    up to `BURST` of them. Then it waits until it is time for the next pass, with those that come
    meanwhile. What a text scores does not depend on when it is read.
    """

    def __init__(self) -> None:
        self._last = self._due = -inf  # when the last pass began, and the next would at this pace
        self._shortest = inf

    async def read(self, begin: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a read, which is begun when it is its turn."""
        clock = asyncio.get_running_loop().time
        spacing = min(SPACING * self._shortest, LONGEST)
        if clock() > self._last + MOMENT:
            await asyncio.sleep(max(0.0, self._due - BURST * spacing - clock()))
        if (begun := clock()) > self._last + MOMENT:
            self._last, self._due = begun, max(self._due, begun) + spacing
        result = await begin()
        self._shortest = min(self._shortest, clock() - begun)
        return result
