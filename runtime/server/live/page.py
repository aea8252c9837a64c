"""The live page at ``/``: requests as they run, with their searches, and what was saved.

A reader looks a few times a second for what has changed since it last looked. One who is slow, or
gone, so has nothing queued and holds nothing up.
"""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BeforeValidator, Field

from runtime.frontend.fields import number_in
from runtime.server.live.store import Board, Card

__all__ = ["Board", "Card", "live_router"]

PAGE = Path(__file__).with_name("live.html")
MOST_OPEN = 16  # requests that one reader sees whole
PERIOD = 0.2  # seconds between two looks
HEARTBEAT = 10.0  # seconds of silence that a reader can trust
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Number = Annotated[int, Field(strict=True), BeforeValidator(number_in)]
Open = Annotated[list[Number], Query(alias="open", max_length=MOST_OPEN)]


def live_router(board: Board, authorised: Callable[[str | None], None]) -> APIRouter:
    """The live page's routes.

    Args:
        board: what it shows.
        authorised: called with a request's Authorization header; raises ApiError if that may not
            see the board. The page itself holds nothing secret and is served to all.
    """
    router = APIRouter(include_in_schema=False)
    page = PAGE.read_text(encoding="utf-8")
    page_headers = HEADERS | {"Content-Security-Policy": _policy(page)}
    page_headers["Referrer-Policy"] = "no-referrer"

    async def known(authorization: Annotated[str | None, Header()] = None) -> None:
        authorised(authorization)

    @router.get("/")
    async def live_page() -> HTMLResponse:
        return HTMLResponse(page, headers=page_headers)

    @router.get("/live/state", dependencies=[Depends(known)])
    async def state(opened: Open = []) -> JSONResponse:  # noqa: B006 (FastAPI copies it)
        return JSONResponse(Reader(board, opened).news(), headers=HEADERS)

    @router.get("/live/events", dependencies=[Depends(known)])
    async def events(opened: Open = []) -> StreamingResponse:  # noqa: B006
        # Proxies that gather an answer before they pass it on would hold the stream back.
        headers = HEADERS | {"X-Accel-Buffering": "no"}
        return StreamingResponse(
            _stream(board, opened), headers=headers, media_type="text/event-stream"
        )

    return router


class Reader:
    """One reader of the board, who is told only what is new to it.

    Args:
        board: the board.
        opened: numbers of the requests that it wants to see whole.
    """

    def __init__(self, board: Board, opened: Sequence[int]) -> None:
        self._board = board
        self._version, self._known = -1, set[int]()
        self._totals: dict[str, Any] = {}
        self._steps = dict.fromkeys(opened, 0)

    def news(self) -> dict[str, Any]:
        """What has changed since the last call, as JSON: all there is at first, else often nothing.

        It is never more than all there is, however late a reader comes.
        """
        news: dict[str, Any] = {}
        if self._version != self._board.version:
            cards = self._board.cards()
            news["requests"] = [self._told(c) for c in cards if c.version > self._version]
            numbers = {card.number for card in cards}
            news["gone"] = sorted(self._known - numbers)
            self._version, self._known = self._board.version, numbers
        totals = self._board.totals()
        if totals != self._totals:
            news["totals"] = self._totals = totals
        return news and news | {"now": self._board.clock()}

    def _told(self, card: Card) -> dict[str, Any]:
        if card.number not in self._steps:
            return card.told()
        told = card.told_whole(self._steps[card.number])
        self._steps[card.number] = len(card.search.steps)
        return told


async def _stream(board: Board, opened: Sequence[int]) -> AsyncIterator[str]:
    """Server-sent events: a snapshot, then updates, and comments while nothing changes."""
    reader, quiet = Reader(board, opened), 0.0
    yield _event("snapshot", reader.news())
    while not board.closed:
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
    """A policy under which the page runs its own style and script, and asks nobody but us."""
    hashes = {
        part: b64encode(sha256(found.encode()).digest()).decode()
        for part, found in re.findall(r"<(style|script)>(.*?)</\1>", page, re.DOTALL)
    }
    return (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'"
    )
