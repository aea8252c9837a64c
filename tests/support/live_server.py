"""The live page alone, without a model, for tests of it over HTTP and in a browser."""

import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from runtime.server.access_log import AccessLog
from runtime.server.auth import Keys
from runtime.server.live.page import live_router
from runtime.server.live.store import LiveStore
from tests.support.http_server import LoopThread, http_server
from tests.support.serving import log_to


class Served:
    """A server of the live page.

    Args:
        port: to listen on; 0 takes any.
        key: the API key that is required; None requires none.
    """

    def __init__(self, port: int = 0, key: str | None = None) -> None:
        self.live_store = LiveStore(show_prompts=True)
        app = FastAPI()
        app.include_router(live_router(self.live_store))
        app.add_middleware(
            AccessLog,
            keys=Keys([] if key is None else [key]),
            requests=Counter("requests", "", ("endpoint", "status"), registry=CollectorRegistry()),
            log=log_to(),
        )
        self._thread = LoopThread()
        self._open = ExitStack()
        self._open.callback(self._thread.close)
        listener = socket.create_server(("127.0.0.1", port))
        # Connections inherit it: one whose client does not read is full within a few updates.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.port = self._open.enter_context(self._thread.entered(http_server(app, listener)))
        self.url = f"http://127.0.0.1:{self.port}"
        self._open.callback(lambda: self._thread.call(self.live_store.close))

    def do(self, work: Callable[[], Any]) -> Any:
        """What `work` returns, called in the server's loop, in which the live store is used."""
        return self._thread.call(work)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._thread.run(work)

    def stop(self) -> float:
        """Stop it, unless it has been stopped; seconds that this took."""
        started = time.perf_counter()
        self._open.close()
        return time.perf_counter() - started
