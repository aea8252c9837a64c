"""What the server is about: a solver, the requests it works on, and whether it takes any more."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from prometheus_client import Counter

from allocator.errors import InputError, ModelError
from runtime.artifact import Artifact
from runtime.concurrency import stream
from runtime.metrics import Metrics
from runtime.prompt_run import Decoder
from runtime.request import Event
from runtime.result import Result
from runtime.server.asks import Ask, asks_of
from runtime.server.errors import ApiError
from runtime.server.models import ServedModels
from runtime.server.protocol import ChatRequest, CompletionRequest
from runtime.server.settings import ServeSettings
from runtime.solve import PROMPTS_IN_FLIGHT, Solver

BACK_SOON = {"Retry-After": "5"}
PARTING = 5.0  # seconds in which requests that were given up end


@dataclass(eq=False)
class Call:
    """One request on its way.

    Attributes:
        body: what was asked.
        asks: its prompts.
        id: names it to the client.
        created: Unix time, in seconds.
        watchers: called with a prompt's number and what happens to it.
        results: what was found, by the prompt's number.
        error: why it failed; None if it did not.
        seconds: wall time it took, once it is over.
    """

    body: ChatRequest | CompletionRequest
    asks: list[Ask]
    id: str
    created: float = field(default_factory=time.time)
    watchers: list[Callable[[int, Event], None]] = field(default_factory=list)
    results: dict[int, Result] = field(default_factory=dict)
    error: ApiError | None = None
    seconds: float = 0.0

    def tell(self, number: int, event: Event) -> None:
        """Tell all watchers what happened to a prompt."""
        for watcher in self.watchers:
            watcher(number, event)


class Service:
    """Answers requests, from the opening of the models until it is drained.

    Args:
        settings: the server's.
        artifact: what calibration found.

    Attributes:
        models: the names it goes by.
        metrics: counts what was done.
        requests: counts HTTP requests, beside it.
        created: Unix time of its start, in seconds.
        solver: answers prompts; None while the models are loading.
        calls: requests being worked on.
        closing: set when requests still running are to be given up.

    Raises:
        InputError: a default budget below the least calibrated one.
    """

    def __init__(self, settings: ServeSettings, artifact: Artifact) -> None:
        artifact.policy.row(settings.default_budget)
        self.settings, self.artifact = settings, artifact
        budgets = [row.budget for row in artifact.policy.table.rows]
        self.models = ServedModels(settings, artifact.settings.model, budgets)
        self.metrics = Metrics()
        self.requests = Counter(
            "http_requests",
            "HTTP requests, by endpoint and status",
            ("endpoint", "status"),
            namespace="ttc",
            registry=self.metrics.registry,
        )
        self.created = int(time.time())
        self.solver: Solver | None = None
        self.calls: set[Call] = set()
        self.draining = False
        self.closing = asyncio.Event()

    def open(self, decoder: Decoder) -> None:
        """Take requests, to be answered with these models."""
        self.solver = Solver(decoder, self.artifact, self.settings.seed)
        self.solver.metrics = self.metrics

    def ready(self) -> Solver:
        """The solver.

        Raises:
            ApiError: the models are loading, or the server is shutting down.
        """
        if self.draining:
            raise ApiError(503, "the server is shutting down; ask another", headers=BACK_SOON)
        return self._opened()

    def _opened(self) -> Solver:
        if self.solver is None:
            raise ApiError(503, "the models are loading; ask again soon", headers=BACK_SOON)
        return self.solver

    def call(self, body: ChatRequest | CompletionRequest, header: int | None = None) -> Call:
        """A request, checked.

        Args:
            body: the request's.
            header: the budget that its header names.

        Raises:
            ApiError: another model, or the server is not ready.
            InputError: what cannot be done.
        """
        solver = self.ready()
        budget = self.models.budget(body.model, header, body.ttc.budget)
        kind = "chatcmpl" if isinstance(body, ChatRequest) else "cmpl"
        return Call(body, asks_of(body, solver, budget), f"{kind}-{uuid.uuid4().hex}")

    async def answer(self, call: Call) -> AsyncIterator[tuple[int, Result]]:
        """Answer a request's prompts; (prompt's number, result) in the order of completion.

        Raises:
            ModelError: a model has failed.
        """

        async def one(number: int) -> Result:
            ask = call.asks[number]
            watched = replace(ask.request, watch=partial(call.tell, number))
            try:
                return await self._opened().solve(watched, ask.budget, ask.deadline)
            except ModelError:
                self.metrics.failed()
                raise
            except InputError as error:
                # The client's wishes have been checked: what is wrong now are the models.
                self.metrics.failed()
                raise ModelError("models", str(error)) from error

        async for number, result in stream(one, range(len(call.asks)), PROMPTS_IN_FLIGHT):
            call.results[number] = result
            yield number, result

    async def drain(self) -> None:
        """Take no more requests; those running may take some time yet, then are given up."""
        self.draining = True
        await self._idle(self.settings.drain_timeout)
        self.closing.set()
        await self._idle(PARTING)

    async def _idle(self, seconds: float) -> None:
        """Until no request is running, or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.calls:
                    await asyncio.sleep(0.02)
