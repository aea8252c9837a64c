"""Uvicorn on our own socket, with a limit on slow connections and our own shutdown."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from allocator.errors import InputError
from runtime.server.service import CANCEL_SECONDS
from runtime.server.settings import ServeSettings

BACKLOG = 2048  # connections that wait to be accepted
HEAD_SECONDS = 10.0  # time in which the head of a request must arrive
LAST_REQUESTS = 0.2  # seconds for requests of the connections that were accepted last


class _Protocol(H11Protocol):
    """Uvicorn's h11 protocol, which limits the size of a request's head (its other does not).

    A connection that sends no complete head within `HEAD_SECONDS` is closed.
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
        """Close the connection if no request has come since `last`."""
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.close()


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: `runtime.server.run` drains the service first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections; answer those just accepted, then close all."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(LAST_REQUESTS)
        await super().shutdown(sockets)


def uvicorn_of(app: FastAPI) -> uvicorn.Server:
    """The HTTP server of the application."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(CANCEL_SECONDS),
    )
    return _Server(config)


@contextmanager
def listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """The listening socket, for the length of the block.

    Raises:
        InputError: the address or port cannot be used.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        # With the protocol given, asyncio sets TCP_NODELAY: else the kernel delays small packets
        # by 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise InputError(
            "port", settings.port, f"cannot listen on {settings.host}: {error}"
        ) from None
    with listener:
        # Connections inherit it. Else the end of an answer is delayed by 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
