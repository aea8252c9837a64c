"""Real servers on loopback for real clients, which block: in a thread and a loop of their own."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import Artifact
from runtime.models import open_models
from runtime.server.app import create_app
from runtime.server.listen import listening, uvicorn_of
from runtime.server.logs import ServerLog
from runtime.server.service import Service
from tests.support.serving import engine_of, idle, service_of


@dataclass(frozen=True)
class Api:
    """A server that listens.

    Attributes:
        port: on loopback.
        service: what it is about.
        loop: the event loop that it runs in.
    """

    port: int
    service: Service
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def engine(self) -> Any:
        return engine_of(self.service)

    def has_nothing_left(self) -> bool:
        """Whether, within a few seconds, nothing is worked on any more, and nothing goes on."""
        asyncio.run_coroutine_threadsafe(idle(self.service), self.loop).result(10)
        begun = self.engine.begun
        time.sleep(0.2)
        return (self.engine.begun, self.engine.running) == (begun, 0)


class Apis:
    """Servers over the testbed's models, opened once."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._opened = AsyncExitStack()
        # The artifact's own: scored otherwise, solutions would be unlike calibration's.
        artifact = Artifact.load(ARTIFACT)
        opening = open_models(artifact.settings, artifact.folder, "transformers")
        self.models = self.run(self._opened.enter_async_context(opening))

    @contextmanager
    def listening(self, last: int | None = None, **settings: Any) -> Iterator[Api]:
        """A server for as long as the block lasts.

        Args:
            last: number of the last request that its engine answers.
            settings: the server's.
        """
        service = service_of(self.models, last, port=0, **settings)
        server = uvicorn_of(create_app(service.settings, service, ServerLog()))
        with listening(service.settings) as listener:
            serving = asyncio.run_coroutine_threadsafe(server.serve([listener]), self.loop)
            while not server.started:
                time.sleep(0.01)
            try:
                yield Api(listener.getsockname()[1], service, self.loop)
            finally:
                server.should_exit = True
                serving.result(20)

    def close(self) -> None:
        self.run(self._opened.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)
