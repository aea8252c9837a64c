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
# Seconds within which texts have come at the same moment.
MOMENT = 0.002


class ReadPacer:
    """Lets the reads of an engine begin together, in passes some time apart.

    Beams of many searches end one by one, and each would have a pass of its own. A text goes at
    once if none has gone for a while. Otherwise it waits, with those that come meanwhile, until the
    last ones have been gone for `SPACING` of the shortest reads. What a text scores does not depend
    on when it is read.
    """

    def __init__(self) -> None:
        self._last = -inf
        self._shortest = inf

    async def read(self, begin: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a read, which is begun when it is its turn."""
        clock = asyncio.get_running_loop().time
        since, spacing = clock() - self._last, min(SPACING * self._shortest, LONGEST)
        if MOMENT < since < spacing:
            await asyncio.sleep(spacing - since)
        self._last = begun = clock()
        result = await begin()
        self._shortest = min(self._shortest, clock() - begun)
        return result
