"""The gate: how many requests may be in flight, in all and per owner."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from runtime.server.errors import ApiError

SHUTTING_DOWN = "the server is shutting down; use another"
SOON, LATER = "1", "5"  # Retry-After, in seconds


class Gate:
    """Limits the requests in flight.

    Args:
        total: maximum of requests in flight.
        per_owner: maximum of one owner.

    Attributes:
        in_flight: requests in flight, by owner.
        refused: requests refused so far.
        closed: whether all further requests are refused.
    """

    def __init__(self, total: int, per_owner: int) -> None:
        self._total, self._per_owner = total, per_owner
        self.in_flight: Counter[str] = Counter()
        self.refused = 0
        self.closed = False
        self._left = asyncio.Event()

    @asynccontextmanager
    async def admit(self, owner: str) -> AsyncIterator[None]:
        """A place for one request, for as long as the block lasts.

        Raises:
            ApiError: status 429 if the owner has too many in flight; 503 if all owners together
                have, or if the server is shutting down.
        """
        if self.closed:
            self._refuse(503, SHUTTING_DOWN, LATER)
        if self.in_flight[owner] >= self._per_owner:
            self._refuse(429, f"{self._per_owner} of your requests are in flight; wait", SOON)
        if self.in_flight.total() >= self._total:
            self._refuse(503, f"{self._total} requests are in flight, no more fit; wait", SOON)
        self.in_flight[owner] += 1
        try:
            yield
        finally:
            self.in_flight[owner] -= 1
            if not self.in_flight[owner]:
                del self.in_flight[owner]
            self._left.set()

    def _refuse(self, status: int, message: str, wait: str) -> NoReturn:
        self.refused += 1
        raise ApiError(status, message, headers={"Retry-After": wait})

    def close(self) -> None:
        """Refuse further requests; those in flight continue."""
        self.closed = True

    async def idle(self, timeout: float) -> bool:
        """Whether the last request has ended within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.in_flight:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            return False
        return True
