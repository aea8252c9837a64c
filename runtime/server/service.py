"""The service behind the HTTP endpoints: solver, requests in progress, and shutdown."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from math import nan
from typing import Protocol

from prometheus_client import Counter

from allocator.errors import InputError, ModelError
from runtime.artifact import Artifact
from runtime.concurrency import stream
from runtime.engines.base import HasRequests
from runtime.engines.constraint import ConstraintError
from runtime.frontend.call_syntax import call_syntax
from runtime.models import Models
from runtime.request import Request
from runtime.result import Result
from runtime.server.access_log import RequestRecord
from runtime.server.call import Call
from runtime.server.errors import ApiError
from runtime.server.feedback import Answered, Feedback
from runtime.server.gate import SHUTTING_DOWN, Gate
from runtime.server.live.store import LiveStore
from runtime.server.model_names import ServedModels
from runtime.server.policies import Policies, ServedPolicy
from runtime.server.prompt_requests import prompt_requests
from runtime.server.protocol import ChatRequest, CompletionRequest, with_defaults
from runtime.server.recorder import Recorder
from runtime.server.settings import ServeSettings
from runtime.solving.metrics import Metrics
from runtime.solving.solve import Solver, prompts_in_flight

RETRY_HEADERS = {"Retry-After": "5"}
# Closing the connection keeps the client from sending another request to a server that ends.
SHUTDOWN_HEADERS = RETRY_HEADERS | {"Connection": "close"}
RECORDED = "its solutions are recorded for calibration, which needs independent ones"
CANCEL_SECONDS = 5.0  # seconds for requests to end after they were cancelled


def shutting_down() -> ApiError:
    """The error of requests that a server which ends does not answer any more."""
    return ApiError(503, SHUTTING_DOWN, headers=SHUTDOWN_HEADERS)


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


class Service:
    """Answers requests, from the opening of the models until it is drained.

    Args:
        settings: the server's.
        artifact: what calibration found.

    Attributes:
        policies: the artifacts in service.
        metrics: counts of answered prompts.
        requests: counter of HTTP requests.
        created: Unix time of its start, in seconds.
        gate: limits the requests in flight.
        live_store: data of the live page.
        feedback: takes what clients say of answers.
        recorder: records traffic; None records none.
        closing: set when requests in progress are to be cancelled.

    Raises:
        InputError: a default budget below the least calibrated one.
    """

    def __init__(self, settings: ServeSettings, artifact: Artifact) -> None:
        artifact.policy.row(settings.default_budget)
        self.settings = settings
        self.metrics = Metrics()
        self.policies = Policies(artifact, settings.seed, self.metrics)
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
        self.feedback = Feedback(self.policies)
        self.recorder: Recorder | None = None
        self.closing = asyncio.Event()
        self._watch()
        self._loaded: ModelSource | None = None

    def _watch(self) -> None:
        """Gauges of what there is to do."""
        watch = self.metrics.watch
        watch("requests_in_flight", "HTTP requests under way", lambda: self.gate.in_flight.total())
        watch("requests_refused", "HTTP requests refused as too many", lambda: self.gate.refused)
        watch("engine_requests", "Requests that the engine runs, or that wait there", self._queued)

    def _queued(self) -> float:
        solver = self.policies.current.solver
        if solver is None or not isinstance(solver.models.engine, HasRequests):
            return nan
        return solver.models.engine.requests

    def open(self, models: ModelSource) -> None:
        """Take requests, to be answered with these models.

        Raises:
            InputError: the tool parser does not fit the language model.
        """
        call_syntax(self.settings.tool_parser, models.models.engine.tokenizer)
        self._loaded = models

    def record_to(self, recorder: Recorder) -> None:
        """Record traffic, and feedback on it."""
        self.recorder = recorder
        self.feedback.record_to(recorder)

    @property
    def artifact(self) -> Artifact:
        """The artifact that answers."""
        return self.policies.current.artifact

    @property
    def models(self) -> ServedModels:
        """The model names that it serves."""
        budgets = [row.budget for row in self.artifact.policy.table.rows]
        return ServedModels(self.settings, self.artifact.settings.model, budgets)

    def ready(self, policy: ServedPolicy | None = None) -> Solver:
        """The solver of an artifact in service.

        Args:
            policy: the artifact; None for the one that answers.

        Raises:
            ApiError: the models are away, or the server is shutting down.
        """
        if self.gate.closed:
            raise shutting_down()
        return self._solver(policy or self.policies.current)

    def _solver(self, policy: ServedPolicy) -> Solver:
        """Answers prompts by an artifact, with the models as they are now.

        Raises:
            ApiError: they are away.
        """
        if self._loaded is None:
            raise ApiError(503, "the models are loading; retry soon", headers=RETRY_HEADERS)
        return self.policies.solver(policy, self._loaded.models)

    async def call(
        self,
        body: ChatRequest | CompletionRequest,
        record: RequestRecord,
        header: int | None = None,
    ) -> Call:
        """A request, checked.

        Its prompts are rendered and tokenised in a thread: long ones take seconds, in which other
        requests go on.

        Args:
            body: the request's.
            record: its record in the access log.
            header: the budget in its header.

        Raises:
            ApiError: an unknown model, or the server is not ready.
            InputError: a value that cannot be used.
        """
        settings, policy = self.settings, self.policies.choose(record.id)
        solver = self.ready(policy)
        body = with_defaults(
            body, settings.return_tokens_as_token_ids, settings.enable_force_include_usage
        )
        record.budget = budget = self.models.budget(
            body.model, header, body.ttc.budget, body.choices, body.ttc.in_tokens
        )
        kind = "chatcmpl" if isinstance(body, ChatRequest) else "cmpl"
        prompts = await asyncio.to_thread(
            prompt_requests, body, solver, budget, settings.tool_parser
        )
        name, models = f"{kind}-{record.id}", solver.models
        return Call(body, prompts, record, name, policy, models.engine.tokenizer, models.thinks)

    async def answer(self, call: Call) -> AsyncIterator[tuple[int, Result]]:
        """Answer a request's prompts; (prompt's number, result) in the order of completion.

        Raises:
            ModelError: a model has failed.
        """

        async def one(number: int) -> Result:
            prompt_request = call.prompt_requests[number]
            request = replace(prompt_request.request, on_event=partial(call.emit, number))
            try:
                return await self._solve(call, number, request)
            except ModelError as error:
                self._failed(call)
                if self._loaded is not None:
                    await self._loaded.lost(error)
                raise
            except ConstraintError:  # which only the engine's server could find out
                self.metrics.failed()
                raise
            except InputError as error:
                # The request has been checked, so the fault lies with the models.
                self._failed(call)
                raise ModelError("models", str(error)) from error

        engine = self._solver(call.policy).models.engine
        async for number, result in stream(
            one, range(len(call.prompt_requests)), prompts_in_flight(engine)
        ):
            self.policies.answered(call.policy, result.receipt)
            call.results[number] = result
            call.views[number].finished(result)
            yield number, result
        self.feedback.remember(
            call.record.id,
            Answered(
                call.policy.label, call.body.choices, len(call.prompt_requests), call.recorded
            ),
        )

    async def _solve(self, call: Call, number: int, request: Request) -> Result:
        """Answer a prompt, and record it if it is to be recorded."""
        prompt_request, recorder = call.prompt_requests[number], self.recorder
        solver, spend = self._solver(call.policy), prompt_request.spend
        if (
            recorder is None
            or spend.budget is None
            or not recorder.takes(prompt_request, solver.settings.sampling)
        ):
            return await solver.solve_within(request, spend)
        try:
            result = await solver.solve_independently(request, spend.budget, RECORDED)
        except BaseException:  # cancelled, too
            recorder.forget(request.text)
            raise
        call.recorded.add(number)
        recorder.prompt(
            result,
            request=call.record.id,
            prompt=number,
            choices=call.body.choices,
            artifact=call.policy.label,
            scoring=call.policy.artifact.settings.scoring,
            lost=partial(call.recorded.discard, number),
        )
        return result

    def _failed(self, call: Call) -> None:
        self.metrics.failed()
        self.policies.count(call.policy, "failures")

    async def drain(self) -> None:
        """Refuse new requests; let those in progress finish for some time, then cancel them."""
        self.gate.close()
        await self.gate.idle(self.settings.drain_timeout)
        self.closing.set()
        self.live_store.close()
        await self.gate.idle(CANCEL_SECONDS)
