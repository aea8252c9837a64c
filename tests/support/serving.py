"""The testbed behind the server, with and without a socket, and an engine that counts requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import httpx

from allocator.errors import ModelError
from benchmarks.testbed.paths import ARTIFACT
from benchmarks.testbed.task import distinct_problems
from calibration.report.diff import clearly_worse
from runtime.artifact import Artifact
from runtime.engines.constraint import HasConstraints
from runtime.models import Models, open_models
from runtime.server.app import create_app
from runtime.server.listen import listening
from runtime.server.logs import ServerLog
from runtime.server.recorder import recording
from runtime.server.reload import Reloader
from runtime.server.service import Service
from runtime.server.settings import ServeSettings
from tests.support.http_server import LoopThread, http_server
from tests.support.waiting import eventually_in_loop

PROMPTS = [problem.text for problem in distinct_problems("test", 60, seed=71)]
# Half a minute's work, were it not given up.
LONG = {"model": "base", "prompt": PROMPTS, "ttc": {"budget": 64}}


class Watched:
    """An engine that counts its requests, and may die.

    Args:
        engine: what samples.
        last: number of the last request that it answers.
    """

    def __init__(self, engine: Any, last: int | None = None) -> None:
        self.engine, self.last = engine, last
        self.tokenizer, self.context_length = engine.tokenizer, engine.context_length
        self.begun = self.running = 0
        if isinstance(engine, HasConstraints):
            self.check_constraint = engine.check_constraint

    async def complete(self, *args: Any, **kwargs: Any) -> Any:
        self.begun += 1
        if self.last is not None and self.begun > self.last:
            raise ModelError("engine", "it has died")
        self.running += 1
        try:
            return await self.engine.complete(*args, **kwargs)
        finally:
            self.running -= 1

    def close(self) -> None:
        pass


class Loaded:
    """Models that stay."""

    def __init__(self, models: Models) -> None:
        self.models = models

    async def lost(self, error: ModelError) -> bool:
        return False


def service_of(models: Models, last: int | None = None, **settings: Any) -> Service:
    """A service that takes requests; its engine is `Watched`."""
    fields = {"artifact": ARTIFACT, "port": 0} | settings
    service = Service(ServeSettings(**fields), Artifact.load(fields["artifact"]))
    service.open(Loaded(replace(models, engine=Watched(models.engine, last))))
    return service


def engine_of(service: Service) -> Any:
    return service.ready().models.engine


def log_to(stream: StringIO | None = None) -> ServerLog:
    """A server's log, never in stderr: a server may outlive the test whose stderr that is.

    Args:
        stream: where to write; None for a log that nobody reads.
    """
    return ServerLog(stream=stream or StringIO())


def logged(stream: StringIO) -> list[dict[str, Any]]:
    """The lines of a server's log."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def client_of(service: Service, log: StringIO | None = None) -> httpx.AsyncClient:
    """A client of the application itself, without a socket."""
    app = create_app(service.settings, service, log_to(log))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


async def asked(service: Service, body: dict[str, Any], **headers: str) -> httpx.Response:
    """The answer to a chat's or a completion's body, whichever it is."""
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    async with client_of(service) as client:
        return await client.post(path, json={"model": "base"} | body, headers=headers)


def chat(*contents: str, **fields: Any) -> dict[str, Any]:
    """A chat's body; turns of the user and the assistant alternate."""
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
    return {"model": "base", "messages": turns} | fields


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The chunks of a stream, which has to end with [DONE]; comments are skipped."""
    *lines, last = [line for line in response.text.splitlines() if line and line[0] != ":"]
    assert last == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@asynccontextmanager
async def listening_on(service: Service, log: StringIO | None = None) -> AsyncIterator[int]:
    """The service behind a real socket, in the running event loop; yields the port."""
    server_log = log_to(log)
    reloader = Reloader(service.settings, service.policies, clearly_worse, server_log)
    app = create_app(service.settings, service, server_log, reloader)
    with listening(service.settings) as listener:
        async with http_server(app, listener) as port:
            yield port


@asynccontextmanager
async def connected(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service behind a real socket, in the test's own event loop."""
    async with (
        listening_on(service) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        yield client


async def idle(service: Service) -> None:
    """Wait until no request is being worked on."""
    await eventually_in_loop(lambda: not service.gate.in_flight)


async def has_stopped(service: Service) -> bool:
    """Whether no request is being worked on, and the engine samples nothing and begins nothing.

    The pause is no wait for a condition: it is the time in which nothing may begin.
    """
    await idle(service)
    engine = engine_of(service)
    begun = engine.begun
    await asyncio.sleep(0.2)
    return (engine.begun, engine.running) == (begun, 0)


@dataclass(frozen=True)
class Api:
    """A server that listens, for clients that block.

    Attributes:
        port: on loopback.
        service: what it serves.
        thread: runs its event loop.
        log: what the server has logged, for `logged`.
    """

    port: int
    service: Service
    thread: LoopThread
    log: StringIO

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def engine(self) -> Any:
        return engine_of(self.service)

    def has_stopped(self) -> bool:
        """Whether nothing is being worked on, and nothing begins."""
        return self.thread.run(has_stopped(self.service))


@contextmanager
def api_of(service: Service, thread: LoopThread) -> Iterator[Api]:
    """The service behind a real socket, in the thread's event loop."""
    log = StringIO()
    with thread.entered(listening_on(service, log)) as port:
        yield Api(port, service, thread, log)


class Apis:
    """Servers over one set of the testbed's models."""

    def __init__(self) -> None:
        self.thread = LoopThread()
        self._open = ExitStack()
        self._open.callback(self.thread.close)
        # The artifact's own: scored otherwise, solutions would be unlike calibration's.
        artifact = Artifact.load(ARTIFACT)
        opening = open_models(artifact.settings, artifact.folder, "transformers")
        self.models = self._open.enter_context(self.thread.entered(opening))

    @contextmanager
    def listening(self, last: int | None = None, **settings: Any) -> Iterator[Api]:
        """A server for as long as the block lasts.

        Args:
            last: number of the last request that its engine answers.
            settings: the server's.
        """
        service = service_of(self.models, last, **settings)
        artifact = service.artifact
        located = artifact.settings.with_absolute_paths(artifact.folder)
        with recording(service.settings, located, service.metrics) as recorder:
            if recorder is not None:
                service.record_to(recorder)
            with api_of(service, self.thread) as api:
                yield api

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.thread.run(work)

    def close(self) -> None:
        self._open.close()
