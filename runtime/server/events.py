"""An answer as server-sent events: progress first, then the answer itself; comments in between."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime.concurrency import together
from runtime.request import Event
from runtime.server.call import Call
from runtime.server.errors import ApiError
from runtime.server.lifecycle import run_while_connected
from runtime.server.replies import Chunks
from runtime.server.service import Service

STEP_SECONDS = 0.1  # least time between two steps that are sent; other events are all sent
# Longest silence, in seconds: proxies close connections that are silent for a minute.
HEARTBEAT = 10.0
COMMENT = b": working\n\n"  # clients skip it
DONE = b"data: [DONE]\n\n"


class EventStream(Response):
    """A streamed answer. The work begins with the response, and ends if the client disconnects.

    Args:
        service: answers the request.
        call: the request.
        admission: closed when the work has ended.
    """

    media_type = "text/event-stream"

    def __init__(self, service: Service, call: Call, admission: AsyncExitStack) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._service, self._call, self._admission = service, call, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        settings, closing = self._service.settings, self._service.closing
        head = {"status": self.status_code, "headers": self.raw_headers}
        try:
            async with self._admission:
                await send({"type": "http.response.start", **head})
                work = self._send(send)
                await run_while_connected(work, receive, closing, settings.request_timeout)
        except ApiError as error:
            await send(_body(_event(error.body) + DONE))
        await send(_body(b"", more=False))

    async def _send(self, send: Send) -> None:
        chunks: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        await together([self._work(chunks), _write(chunks, send)])

    async def _work(self, chunks: "asyncio.Queue[dict[str, Any] | None]") -> None:
        made, emitted = Chunks(self._call), 0.0

        def on_event(number: int, event: Event) -> None:
            nonlocal emitted
            now = time.monotonic()
            if event.kind == "step":
                if now - emitted < STEP_SECONDS:
                    return
                emitted = now
            chunks.put_nowait(made.progress(number, event))

        def put(more: Iterator[dict[str, Any]]) -> None:
            for chunk in more:
                chunks.put_nowait(chunk)

        put(made.opening())
        wanted = self._call.body.ttc.progress
        if wanted or (wanted is None and not self._call.body.counts_tokens):
            self._call.event_handlers.append(on_event)
        async for number, result in self._service.answer(self._call):
            put(made.answer(number, result))
        put(made.closing())
        chunks.put_nowait(None)


async def _write(chunks: "asyncio.Queue[dict[str, Any] | None]", send: Send) -> None:
    """Send chunks as they come, and a comment after each `HEARTBEAT` without any."""
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT):
                chunk = await chunks.get()
        except TimeoutError:
            await send(_body(COMMENT))
            continue
        if chunk is None:
            break
        await send(_body(_event(chunk)))
    await send(_body(DONE))


def _event(data: dict[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def _body(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}
