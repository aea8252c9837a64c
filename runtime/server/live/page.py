"""The live page at ``/``: requests as they run, their searches, and the generations saved.

A reader polls a few times a second for changes since its last poll. Nothing is queued for readers
that are slow or have disconnected.
"""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BeforeValidator, Field

from runtime.frontend.fields import number_in
from runtime.server.live.store import LiveStore, RequestView

PAGE = Path(__file__).with_name("live.html")
MAX_OPEN = 16  # requests that one reader sees in full
PERIOD = 0.2  # seconds between two polls
HEARTBEAT = 10.0  # longest time without a message, in seconds
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Number = Annotated[int, Field(strict=True), BeforeValidator(number_in)]
Open = Annotated[list[Number], Query(alias="open", max_length=MAX_OPEN)]


def live_router(live_store: LiveStore) -> APIRouter:
    """The live page's routes; `runtime.server.access_log.AccessLog` checks their keys.

    Args:
        live_store: the data shown.
    """
    router = APIRouter(include_in_schema=False)
    page = PAGE.read_text(encoding="utf-8")
    page_headers = HEADERS | {"Content-Security-Policy": _policy(page)}
    page_headers["Referrer-Policy"] = "no-referrer"

    @router.get("/")
    async def live_page() -> HTMLResponse:
        return HTMLResponse(page, headers=page_headers)

    @router.get("/live/state")
    async def state(opened: Open = []) -> JSONResponse:  # noqa: B006 (FastAPI copies it)
        return JSONResponse(Reader(live_store, opened).news(), headers=HEADERS)

    @router.get("/live/events")
    async def events(opened: Open = []) -> StreamingResponse:  # noqa: B006
        # Without this header, proxies buffer the stream.
        headers = HEADERS | {"X-Accel-Buffering": "no"}
        return StreamingResponse(
            _stream(live_store, opened), headers=headers, media_type="text/event-stream"
        )

    return router


class Reader:
    """One reader of the live store, which is sent only changes.

    Args:
        live_store: the store.
        opened: numbers of the requests that are sent in full.
    """

    def __init__(self, live_store: LiveStore, opened: Sequence[int]) -> None:
        self._store = live_store
        self._version, self._known = -1, set[int]()
        self._totals: dict[str, Any] = {}
        self._steps = dict.fromkeys(opened, 0)

    def news(self) -> dict[str, Any]:
        """Changes since the last call, as JSON: everything at first, then often nothing.

        It is never more than the whole store, however long ago the last call was.
        """
        news: dict[str, Any] = {}
        if self._version != self._store.version:
            views = self._store.views()
            news["requests"] = [
                self._to_json(view) for view in views if view.version > self._version
            ]
            numbers = {view.number for view in views}
            news["gone"] = sorted(self._known - numbers)
            self._version, self._known = self._store.version, numbers
        totals = self._store.totals()
        if totals != self._totals:
            news["totals"] = self._totals = totals
        return news and news | {"now": self._store.clock()}

    def _to_json(self, view: RequestView) -> dict[str, Any]:
        if view.number not in self._steps:
            return view.to_json()
        document = view.to_full_json(self._steps[view.number])
        self._steps[view.number] = len(view.search.steps)
        return document


async def _stream(live_store: LiveStore, opened: Sequence[int]) -> AsyncIterator[str]:
    """Server-sent events: a snapshot, then updates, and comments while nothing changes."""
    reader, quiet = Reader(live_store, opened), 0.0
    yield _event("snapshot", reader.news())
    while not live_store.closed:
        await asyncio.sleep(PERIOD)
        quiet += PERIOD
        if news := reader.news():
            yield _event("update", news)
        elif quiet >= HEARTBEAT:
            yield ": nothing new\n\n"
        else:
            continue
        quiet = 0.0


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n"


def _policy(page: str) -> str:
    """A policy that allows only the page's own style and script, and requests to this server."""
    hashes = {
        part: b64encode(sha256(found.encode()).digest()).decode()
        for part, found in re.findall(r"<(style|script)>(.*?)</\1>", page, re.DOTALL)
    }
    return (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'"
    )
