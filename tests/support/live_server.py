"""The live page alone, without a model, for tests of it over HTTP and in a browser."""

import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from runtime.server.errors import ApiError
from runtime.server.live.page import LiveStore, live_router
from tests.support.http_server import LoopThread, http_server


class Served:
    """A server of the live page.

    Args:
        port: to listen on; 0 takes any.
        key: the Authorization header that is required; None requires none.
    """

    def __init__(self, port: int = 0, key: str | None = None) -> None:
        self.live_store = LiveStore(show_prompts=True)
        app = FastAPI()

        def authorised(header: str | None) -> None:
            if key is not None and header != key:
                raise ApiError(401, "give a key")

        @app.exception_handler(ApiError)
        async def refuse(_: Request, error: ApiError) -> JSONResponse:
            return JSONResponse(error.body, error.status)

        app.include_router(live_router(self.live_store, authorised))
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
