"""The one way in which tests serve an application over HTTP: the server's own uvicorn, on loopback.

Clients that await share its event loop. Clients that block need `LoopThread`, which runs it in a
thread.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from runtime.server import listen
from tests.support.waiting import eventually_in_loop

Value = TypeVar("Value")

# Clients of tests have connected before their server is stopped.
listen.LAST_REQUESTS = 0.02
SECONDS = 60.0  # in which what a thread's loop is given to do has to be done


@asynccontextmanager
async def http_server(app: Any, listener: socket.socket | None = None) -> AsyncIterator[int]:
    """Serve an application for as long as the block lasts; yields the port.

    Args:
        app: an ASGI application.
        listener: what to listen with; None takes any port of loopback.
    """
    with listener or socket.create_server(("127.0.0.1", 0)) as listener:
        server = listen.uvicorn_of(app)
        serving = asyncio.create_task(server.serve([listener]))
        await eventually_in_loop(lambda: server.started)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Value], seconds: float = SECONDS) -> Value:
        """What a coroutine returns that runs in the loop, and is given so many seconds."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def call(self, work: Callable[[], Value]) -> Value:
        """What a function returns that is called in the loop."""

        async def called() -> Value:
            return work()

        return self.run(called())

    @contextmanager
    def entered(self, manager: AbstractAsyncContextManager[Value]) -> Iterator[Value]:
        """What an asynchronous context manager yields, entered and left in the loop."""
        value = self.run(manager.__aenter__())
        try:
            yield value
        finally:
            self.run(manager.__aexit__(None, None, None))

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        self.loop.close()
