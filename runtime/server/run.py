"""The server's life: it listens, loads the models, answers, drains, and leaves nothing behind."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI

from allocator.errors import InputError
from runtime.artifact import Artifact, open_decoder
from runtime.server.app import create_app
from runtime.server.logs import ServerLog
from runtime.server.service import PARTING, Service
from runtime.server.settings import ServeSettings
from runtime.server.supervisor import Supervisor

BACKLOG = 2048  # connections that wait to be taken up


class _Server(uvicorn.Server):
    """Uvicorn's, without its signal handlers: signals drain the service first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: ServeSettings, artifact: Artifact, ready: Callable[[str], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or SIGINT; a second one does not wait for requests that are running.

    A signal that comes while the models are loading is heeded once they are.

    Args:
        settings: the server's.
        artifact: what calibration found.
        ready: called with the server's URL when it takes requests.

    Raises:
        InputError: a port that cannot be listened on, or models that cannot be loaded.
    """
    log = ServerLog(settings.log_prompts)
    service = Service(settings, artifact)
    app = create_app(settings, service, log)
    stop = asyncio.Event()

    def end() -> None:
        if stop.is_set():
            service.closing.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening(settings))
        log.turn("start", url=_url(listener), engine=settings.engine)
        server = uvicorn_of(app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            models = partial(open_decoder, artifact.settings, artifact.folder, settings.engine)
            service.open(await stack.enter_async_context(Supervisor(models, log)))
            ready(_url(listener))
            log.turn("ready", url=_url(listener))
            await stop.wait()
            log.turn("draining", running=service.gate.in_flight.total())
            await service.drain()
        finally:
            server.should_exit = True
            await serving
    log.turn("stopped")


def uvicorn_of(app: FastAPI) -> uvicorn.Server:
    """What serves the application over HTTP."""
    config = uvicorn.Config(
        app,
        http="h11",  # of uvicorn's two the one that bounds what it keeps of a request's headers
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


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
