"""One record per HTTP request: its owner and its outcome, counted in metrics and logged."""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import Counter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.result import Result
from runtime.server.auth import ANYONE, Keys
from runtime.server.errors import TYPES, ApiError, as_api_error, as_response
from runtime.server.logs import LOGGER, Finished, Outcome, ServerLog

# Need no key. The live page itself has no secrets; the data that it loads may.
OPEN_PATHS = ("/", "/health", "/ping", "/version")
GONE = 499


@dataclass
class RequestRecord:
    """One HTTP request.

    Attributes:
        id: its id in the log, in the response's headers and in the API's answers.
        owner: the owner of its key.
        model: the model requested; None if it requests none.
        budget: generations that each of its prompts may cost.
        prompts: its prompts; empty until work on them begins.
        results: results so far, by the prompt's number.
        error: why it failed.
    """

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    owner: str = ANYONE
    model: str | None = None
    budget: int | None = None
    prompts: tuple[str, ...] = ()
    results: dict[int, Result] = field(default_factory=dict)
    error: ApiError | None = None

    def outcome(self, status: int | None) -> Outcome:
        """How it ended.

        Args:
            status: HTTP status; None if no response was begun.
        """
        ended = status if self.error is None else self.error.status
        if ended is None or ended == GONE:
            return "cancelled"
        if ended < 400:
            return "answered"
        # Without work on it, it was refused, even if the server was busy or not ready.
        return "refused" if ended < 500 or (ended == 503 and not self.prompts) else "failed"


class AccessLog:
    """ASGI middleware: checks the key, keeps a record of every request, and logs its end.

    Args:
        app: the application behind it.
        keys: keys of clients. `OPEN_PATHS` need none.
        requests: counter with the labels endpoint and status.
        log: the log. A GET or HEAD that succeeds is not logged.
    """

    def __init__(self, app: ASGIApp, keys: Keys, requests: Counter, log: ServerLog) -> None:
        self._app, self._keys, self._requests, self._log = app, keys, requests, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record, began = RequestRecord(), time.perf_counter()
        scope.setdefault("state", {})["record"] = record
        status: int | None = None

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Unknown paths share one label, so that clients cannot create labels.
                endpoint = getattr(scope.get("route"), "path", "other")
                self._requests.labels(endpoint, status).inc()
                named = (b"x-request-id", record.id.encode())
                message = {**message, "headers": [*message.get("headers", ()), named]}
            await send(message)

        try:
            await self._authorize(scope, receive, send_counted, record)
        except Exception as error:  # not foreseen: the framework would answer it without this log
            LOGGER.exception("failed", extra={"fields": {"request_id": record.id}})
            record.error = as_api_error(error)
            if status is None:
                await as_response(record.error)(scope, receive, send_counted)
        finally:
            read_only = scope["method"] in ("GET", "HEAD") or scope["path"] in OPEN_PATHS
            if not read_only or status is None or status >= 400:
                seconds = time.perf_counter() - began
                self._log.finished(_finished(record, scope, status, seconds))

    async def _authorize(
        self, scope: Scope, receive: Receive, send: Send, record: RequestRecord
    ) -> None:
        if scope["path"] not in OPEN_PATHS:
            try:
                record.owner = self._keys.owner(Headers(scope=scope).get("authorization"))
            except ApiError as error:
                await as_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _finished(record: RequestRecord, scope: Scope, status: int | None, seconds: float) -> Finished:
    receipts = [result.receipt for result in record.results.values()]
    ended = status if record.error is None else record.error.status
    failed = ended is not None and ended >= 400
    flops = [receipt.flops for receipt in receipts if receipt.flops is not None]
    return Finished(
        request_id=record.id,
        owner=record.owner,
        method=scope["method"],
        path=scope["path"],
        outcome=record.outcome(status),
        seconds=seconds,
        status=ended,
        model=record.model,
        budget=record.budget,
        generations=sum(r.generations for r in receipts) if receipts else None,
        sampled_tokens=sum(r.sampled_tokens for r in receipts) if receipts else None,
        thinking_tokens=sum(r.thinking_tokens for r in receipts) if receipts else None,
        flops=sum(flops) if flops else None,
        strategy=_joined(sorted({r.plan.strategy for r in receipts})),
        error=TYPES.get(ended, "server_error") if failed and ended is not None else None,
        prompt=_joined(record.prompts),
        answer=_joined(record.results[n].solution for n in sorted(record.results)),
    )


def _joined(texts: Iterable[str]) -> str | None:
    return "\n".join(texts) or None
