"""Request bodies: their size, the time they may take, and their JSON."""

import asyncio
import json
from collections import Counter
from itertools import count
from math import isfinite
from typing import Any, NoReturn

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from allocator.errors import shortened
from runtime.server.errors import ApiError, as_response

DEEPEST = 64  # nested arrays and objects; a request has about five
TOO_DEEP = f"it is nested over {DEEPEST} levels deep"
LONGEST_INTEGER = 20  # characters: sign and digits of 64 bits


class BodyLimit:
    """ASGI middleware that refuses large request bodies without reading past the limit.

    Args:
        app: the application behind it.
        max_bytes: the largest body.
        seconds: time in which a body must arrive.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app, self._max_bytes, self._seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (error := self._of_length(scope)) is not None:
            await as_response(error)(scope, receive, send)
            return
        read, whole, started = 0, False, False
        until = asyncio.get_running_loop().time() + self._seconds

        async def counted() -> Message:
            nonlocal read, whole
            message = await (receive() if whole else self._in_time(receive, until))
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._too_large()
            return message

        async def guarded(message: Message) -> None:
            nonlocal started
            # Handlers may turn the error into a response of their own; the client gets ours.
            if read <= self._max_bytes or started:
                started = True
                await send(message)

        try:
            await self._app(scope, counted, guarded)
        except ApiError:
            if read <= self._max_bytes or started:
                raise
        if read > self._max_bytes and not started:
            await as_response(self._too_large())(scope, receive, send)

    async def _in_time(self, receive: Receive, until: float) -> Message:
        try:
            async with asyncio.timeout_at(until):
                return await receive()
        except TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} seconds; send it at once"
            raise ApiError(408, message, headers={"Connection": "close"}) from None

    def _of_length(self, scope: Scope) -> ApiError | None:
        lengths = {value for name, value in scope["headers"] if name == b"content-length"}
        if not lengths:
            return None
        if any(name == b"transfer-encoding" for name, _ in scope["headers"]):
            # A proxy may have used the one, and this server the other.
            message = "Content-Length beside Transfer-Encoding; send one of them"
            return ApiError(400, message, headers={"Connection": "close"})
        if len(lengths) > 1 or not (length := lengths.pop()).isdigit():
            return ApiError(400, "malformed Content-Length; send the body's length in bytes")
        # Over 18 digits it is too large in any case, and int() would take long.
        if len(length) > 18 or int(length) > self._max_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> ApiError:
        # Closing the connection is what keeps the rest of the body from being read.
        message = f"the body is larger than {self._max_bytes} bytes; send less"
        return ApiError(413, message, headers={"Connection": "close"})


def body_of(raw: bytes) -> dict[str, Any]:
    """A request body: one JSON object of which all values can be stored and encoded.

    Args:
        raw: the body.

    Raises:
        ApiError: status 400: it is not UTF-8, not JSON or not an object; it is nested over 64
            levels; a field occurs twice; or it has a number or a text that is not valid.
    """
    try:
        body = json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_int=_integer,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        raise _bad(f"it is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _bad(f"it is not JSON at character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise _bad(TOO_DEEP) from None
    if not isinstance(body, dict):
        raise _bad("it is not a JSON object")
    _check_depth_and_texts(body)
    return body


def _bad(what: str) -> ApiError:
    return ApiError(400, f"the body cannot be read: {what}; send one JSON object")


def _shown(text: str) -> str:
    # Escaped, for the message has to be encoded.
    return ascii(shortened(text, 40))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(name for name, times in Counter(n for n, _ in pairs).items() if times > 1)
        raise _bad(f"it has the field {_shown(twice)} twice")
    return made


def _no_number(text: str) -> NoReturn:
    raise _bad(f"{_shown(text)} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise _bad(f"the number {_shown(text)} is too large")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise _bad(f"the number {_shown(text)} is too large")
    return value


def _check_depth_and_texts(body: dict[str, Any]) -> None:
    level: list[Any] = [body]
    for depth in count(1):
        nested = [value for value in level if isinstance(value, dict | list)]
        if nested and depth > DEEPEST:
            raise _bad(TOO_DEEP)
        for value in level:
            if isinstance(value, str) and not _encodable(value):
                raise _bad(f"{_shown(value)} has half a surrogate pair")
        if not nested:
            return
        level = [part for value in nested for part in value]
        level += [part for value in nested if isinstance(value, dict) for part in value.values()]


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
