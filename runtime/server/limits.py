"""What stands before the work: keys, and limits on what is in flight."""

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

from starlette.responses import JSONResponse

from allocator.errors import InputError
from runtime.server.errors import ApiError

ANYONE = "anyone"
SOON, LATER = "1", "5"  # Retry-After, in seconds


def as_response(error: ApiError) -> JSONResponse:
    """The answer to a request that cannot be served."""
    return JSONResponse(error.body, error.status, error.headers)


class Keys:
    """The keys that clients may use.

    Args:
        keys: the keys; without any, anyone may ask.

    Raises:
        InputError: an empty key, or one with space around it, which no header can carry.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        for key in keys:
            if not key or key != key.strip():
                raise InputError("api_keys", "...", "a key is not empty, with no space around it")
        self._digests = [
            hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest() for key in keys
        ]

    def owner(self, authorization: str | None) -> str:
        """Who asks, as a short id that does not tell the key.

        Args:
            authorization: the Authorization header; its characters are its bytes, as in Latin-1.

        Raises:
            ApiError: status 401, for a missing, malformed or unknown key.
        """
        if not self._digests:
            return ANYONE
        if authorization is None:
            _unauthorized("no API key; send the header Authorization: Bearer KEY")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            _unauthorized("malformed Authorization header; send Authorization: Bearer KEY")
        given = hashlib.sha256(_raw(key.strip(" \t"))).digest()
        # Every key is compared, and digests are all of one length: time tells nothing.
        if not sum(hmac.compare_digest(given, digest) for digest in self._digests):
            _unauthorized("unknown API key; ask whoever runs this server for one")
        return given.hex()[:8]


def _raw(header: str) -> bytes:
    try:
        return header.encode("latin-1")
    except UnicodeEncodeError:  # it never was a header
        return header.encode("utf-8", "surrogatepass")


def _unauthorized(message: str) -> NoReturn:
    raise ApiError(401, message, headers={"WWW-Authenticate": "Bearer"})


class Gate:
    """Holds the requests in flight to what the server can bear.

    Args:
        total: requests in flight at most.
        per_owner: of one owner.

    Attributes:
        in_flight: requests in flight, by owner.
        refused: requests refused so far.
        closed: whether it takes no more.
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
            ApiError: status 429 where the owner has too many in flight, 503 where all have
                together, or where the server is draining.
        """
        if self.closed:
            self._refuse(503, "the server is draining; ask another one, or later", LATER)
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
        """Take no more requests; those in flight go on."""
        self.closed = True

    async def idle(self, timeout: float) -> bool:
        """Whether the last request has left within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.in_flight:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            return False
        return True
