"""HTTP on a socket: uvicorn's, but for how it listens, how long it waits, and how it leaves."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from allocator.errors import InputError
from runtime.server.service import PARTING
from runtime.server.settings import ServeSettings

BACKLOG = 2048  # connections that wait to be taken up
HEAD_SECONDS = 10.0  # in which the head of a request has to be there
LAST_WORDS = 0.2  # seconds for the requests of connections that were taken up last


class _Protocol(H11Protocol):
    """Uvicorn's h11, of its two the one that bounds what it keeps of a request's head.

    It waits for that for a time only: else whoever sends none would keep a connection for good.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def _expect(self) -> None:
        self.loop.call_later(HEAD_SECONDS, self._give_up, self.cycle)

    def _give_up(self, last: Any) -> None:
        """Close, if there has been no request since `last`."""
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.close()


class _Server(uvicorn.Server):
    """Uvicorn's, without its signal handlers: signals drain the service first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take up no more connections; those just taken up are told before all are closed."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(LAST_WORDS)
        await super().shutdown(sockets)


def uvicorn_of(app: FastAPI) -> uvicorn.Server:
    """What serves the application over HTTP."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(PARTING),
    )
    return _Server(config)


@contextmanager
def listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """What the server listens with, for as long as the block lasts.

    Raises:
        InputError: nobody can listen there.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        # With the protocol named asyncio sends at once what it has: else the kernel waits 40 ms
        # for more, or for the client's word that it has received the head of an answer.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise InputError(
            "port", settings.port, f"cannot listen there on {settings.host}: {error}"
        ) from None
    with listener:
        # Connections inherit it. Else the end of an answer waits 40 ms for the client's kernel.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
