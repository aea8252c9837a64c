"""The live page behind a real uvicorn, for tests of it over HTTP and in a browser."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from runtime.server.errors import ApiError
from runtime.server.live.page import LiveStore, live_router


class Served:
    """The live page behind a real uvicorn in a thread of its own.

    Args:
        port: to listen on; 0 takes any.
        key: Authorization header to ask for.
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
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self._server.serve([self._socket])

    def do(self, work: Callable[[], Any]) -> Any:
        """What `work` returns, called in the server's loop, as all that happens to a board is."""

        async def called() -> Any:
            return work()

        return self.run(called())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> float:
        """Stop it, unless it has been; seconds that took."""
        started = time.perf_counter()
        if not self._thread.is_alive():
            return 0
        self.do(self.live_store.close)
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        return time.perf_counter() - started
