"""A server of the testbed, with and without a socket, and an engine that tells what it does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import uvicorn

from allocator.errors import ModelError
from benchmarks.testbed.paths import ARTIFACT
from benchmarks.testbed.task import distinct_problems
from runtime.artifact import Artifact
from runtime.models import Models
from runtime.server.app import create_app
from runtime.server.logs import ServerLog
from runtime.server.service import Service
from runtime.server.settings import ServeSettings

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
    service = Service(ServeSettings(artifact=ARTIFACT, **settings), Artifact.load(ARTIFACT))
    service.open(Loaded(replace(models, engine=Watched(models.engine, last))))
    return service


def engine_of(service: Service) -> Any:
    return service.ready().models.engine


def client_of(service: Service) -> httpx.AsyncClient:
    """A client of the application itself, without a socket."""
    app = create_app(service.settings, service, ServerLog())
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
    """The chunks of a stream, which has to end with [DONE]."""
    *lines, last = [line for line in response.text.splitlines() if line]
    assert last == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@asynccontextmanager
async def listening(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real uvicorn on loopback, in the test's own event loop."""
    config = uvicorn.Config(
        create_app(service.settings, service, ServerLog()), port=0, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    await serving


async def idle(service: Service) -> None:
    """Until no request is being worked on."""
    async with asyncio.timeout(5):
        while service.gate.in_flight:
            await asyncio.sleep(0.01)
