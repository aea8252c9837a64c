"""What the server is about: a solver, the requests it works on, and whether it takes any more."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from prometheus_client import Counter

from allocator.errors import InputError, ModelError
from runtime.artifact import Artifact
from runtime.concurrency import stream
from runtime.models import Models
from runtime.request import Event
from runtime.result import Result
from runtime.server.access_log import RequestRecord
from runtime.server.errors import ApiError
from runtime.server.limits import Gate
from runtime.server.live.store import LiveStore, RequestView
from runtime.server.model_names import ServedModels
from runtime.server.prompt_requests import PromptRequest, prompt_requests
from runtime.server.protocol import ChatRequest, CompletionRequest
from runtime.server.settings import ServeSettings
from runtime.solving.metrics import Metrics
from runtime.solving.solve import PROMPTS_IN_FLIGHT, Solver

BACK_SOON = {"Retry-After": "5"}
# A client that is told to go elsewhere starts no request that the end would cut off.
LEAVING = BACK_SOON | {"Connection": "close"}
PARTING = 5.0  # seconds in which requests that were given up end


class ModelSource(Protocol):
    """The models, which may be away for a while: `runtime.server.supervisor.Supervisor`."""

    @property
    def models(self) -> Models:
        """The models.

        Raises:
            ApiError: status 503: there are none just now.
        """
        ...

    async def lost(self, error: ModelError) -> bool:
        """A request has ended in this; whether the models are dead."""
        ...


@dataclass(eq=False)
class Call:
    """One request on its way.

    Attributes:
        body: what was asked.
        prompt_requests: its prompts.
        record: what the log will tell of it.
        id: names it to the client.
        created: Unix time, in seconds.
        event_handlers: called with a prompt's number and what happens to it.
        views: its prompts on the live page.
    """

    body: ChatRequest | CompletionRequest
    prompt_requests: list[PromptRequest]
    record: RequestRecord
    id: str
    created: float = field(default_factory=time.time)
    event_handlers: list[Callable[[int, Event], None]] = field(default_factory=list)
    views: list[RequestView] = field(default_factory=list)

    @property
    def results(self) -> dict[int, Result]:
        """What was found, by the prompt's number."""
        return self.record.results

    def tell(self, number: int, event: Event) -> None:
        """Tell all watchers what happened to a prompt."""
        for watcher in self.event_handlers:
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
        gate: holds requests to what the settings allow.
        live_store: what the live page shows.
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
        self.gate = Gate(settings.max_concurrent, settings.max_concurrent_per_key)
        self.live_store = LiveStore(settings.log_prompts)
        self.closing = asyncio.Event()
        self._loaded: ModelSource | None = None
        self._solver: Solver | None = None

    def open(self, models: ModelSource) -> None:
        """Take requests, to be answered with these models."""
        self._loaded = models

    def ready(self) -> Solver:
        """The solver.

        Raises:
            ApiError: the models are away, or the server is shutting down.
        """
        if self.gate.closed:
            raise ApiError(503, "the server is shutting down; ask another", headers=LEAVING)
        return self.solver

    @property
    def solver(self) -> Solver:
        """Answers prompts with the models as they are now.

        Raises:
            ApiError: they are away.
        """
        if self._loaded is None:
            raise ApiError(503, "the models are loading; ask again soon", headers=BACK_SOON)
        models = self._loaded.models
        if self._solver is None:
            self._solver = Solver(models, self.artifact, self.settings.seed)
            self._solver.metrics = self.metrics
        self._solver.models = models
        return self._solver

    def call(
        self,
        body: ChatRequest | CompletionRequest,
        record: RequestRecord,
        header: int | None = None,
    ) -> Call:
        """A request, checked.

        Args:
            body: the request's.
            record: its account.
            header: the budget that its header names.

        Raises:
            ApiError: another model, or the server is not ready.
            InputError: what cannot be done.
        """
        solver = self.ready()
        record.model = body.model
        record.budget = budget = self.models.budget(body.model, header, body.ttc.budget)
        kind = "chatcmpl" if isinstance(body, ChatRequest) else "cmpl"
        return Call(body, prompt_requests(body, solver, budget), record, f"{kind}-{record.id}")

    async def answer(self, call: Call) -> AsyncIterator[tuple[int, Result]]:
        """Answer a request's prompts; (prompt's number, result) in the order of completion.

        Raises:
            ModelError: a model has failed.
        """

        async def one(number: int) -> Result:
            prompt_request = call.prompt_requests[number]
            watched = replace(prompt_request.request, on_event=partial(call.tell, number))
            try:
                return await self.solver.solve(
                    watched, prompt_request.budget, prompt_request.deadline
                )
            except ModelError as error:
                self.metrics.failed()
                if self._loaded is not None:
                    await self._loaded.lost(error)
                raise
            except InputError as error:
                # The client's wishes have been checked: what is wrong now are the models.
                self.metrics.failed()
                raise ModelError("models", str(error)) from error

        async for number, result in stream(
            one, range(len(call.prompt_requests)), PROMPTS_IN_FLIGHT
        ):
            call.results[number] = result
            call.views[number].finished(result)
            yield number, result

    async def drain(self) -> None:
        """Take no more requests; those running may take some time yet, then are given up."""
        self.gate.close()
        await self.gate.idle(self.settings.drain_timeout)
        self.closing.set()
        self.live_store.close()
        await self.gate.idle(PARTING)
