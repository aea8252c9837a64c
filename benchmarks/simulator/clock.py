"""An event loop whose clock jumps to the next timer: hours of waiting pass in no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Clock(selectors.SelectSelector):
    """Lets time pass where others sleep.

    Attributes:
        now: virtual seconds.
    """

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready at once; the loop's next timer is due `timeout` virtual seconds on."""
        if timeout is None:
            raise RuntimeError("everything waits, and no timer is set")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on a virtual clock. Threads and other processes cannot be waited for."""

    def __init__(self) -> None:
        self._virtual_clock = _Clock()
        super().__init__(self._virtual_clock)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_clock.now


def run(work: Coroutine[Any, Any, Result]) -> tuple[Result, float]:
    """A coroutine's result on a virtual clock, and the virtual seconds that it took."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(work)
        return result, loop.time()
