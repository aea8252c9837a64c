"""The server's log: one line of JSON per finished request and per change of the server's state."""

import json
import logging
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

Outcome = Literal["answered", "refused", "failed", "cancelled"]
Turn = Literal[
    "start",
    "ready",
    "engine_lost",
    "restart_failed",
    "restarted",
    "reloaded",
    "reload_refused",
    "draining",
    "stopped",
]

LOGGER = logging.getLogger("ttc.serve")
MODELS = "ttc.models"  # what each model got when it was opened, see `runtime.models`
BELOW = ("uvicorn.error", "asyncio", "ttc.servers", "ttc.verifier")  # their warnings, too
LONGEST = 256  # characters of a path, a model or a request id that a client sends
BAD = ("engine_lost", "restart_failed", "reload_refused", "failed")


@dataclass(frozen=True)
class Finished:
    """A finished request.

    Attributes:
        request_id: its id, also in the response's headers.
        owner: owner of its key, see `runtime.server.auth.Keys.owner`.
        method: HTTP method.
        path: HTTP path.
        outcome: how it ended; ``cancelled`` if the client disconnected.
        seconds: from its arrival to its end.
        status: HTTP status; None if no response was begun.
        model: the model requested.
        budget: generations that each prompt was allowed.
        generations: complete solutions sampled.
        sampled_tokens: tokens sampled.
        thinking_tokens: of these, the tokens of thoughts.
        flops: of sampling and of scoring; None where they were not counted.
        strategy: the plan's.
        error: type of the error in the response.
        prompt: the prompts; logged only with log_prompts.
        answer: the solutions; logged only with log_prompts.
    """

    request_id: str
    owner: str
    method: str
    path: str
    outcome: Outcome
    seconds: float
    status: int | None = None
    model: str | None = None
    budget: int | None = None
    generations: int | None = None
    sampled_tokens: int | None = None
    thinking_tokens: int | None = None
    flops: float | None = None
    strategy: str | None = None
    error: str | None = None
    prompt: str | None = None
    answer: str | None = None


class JsonLines(logging.Formatter):
    """A record as one line of JSON in ASCII, so that no client can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if record.name == MODELS:
            line |= {"event": "models", "opened": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class ServerLog:
    """Writes the log, until it is closed.

    The loggers of uvicorn, asyncio, replicas and verifiers write there, too; `close` gives all
    loggers back as they were.

    Args:
        log_prompts: also write prompts and answers.
        stream: where to write; None uses stderr.
    """

    def __init__(self, log_prompts: bool = False, stream: TextIO | None = None) -> None:
        self._log_prompts = log_prompts
        handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(JsonLines())
        self._before = []
        for name in (LOGGER.name, MODELS, *BELOW):
            logger = logging.getLogger(name)
            self._before.append((logger, logger.handlers, logger.level, logger.propagate))
            logger.handlers = [handler]
            logger.setLevel(logging.WARNING if name in BELOW else logging.INFO)
            logger.propagate = False

    def close(self) -> None:
        """Give the loggers back."""
        for logger, handlers, level, propagate in self._before:
            logger.handlers = handlers
            logger.setLevel(level)
            logger.propagate = propagate

    def finished(self, request: Finished) -> None:
        """Log a finished request."""
        fields = asdict(request) | {"seconds": round(request.seconds, 3)}
        if not self._log_prompts:
            del fields["prompt"], fields["answer"]
        for name in ("request_id", "path", "model"):
            if fields[name] is not None:
                fields[name] = fields[name][:LONGEST]
        self._write("request", fields, bad=request.outcome in BAD)

    def turn(self, what: Turn, **fields: object) -> None:
        """Log a change of the server's state.

        Args:
            what: the change.
            fields: further fields of the line.
        """
        self._write(what, fields, bad=what in BAD)

    def _write(self, event: str, fields: dict[str, Any], bad: bool) -> None:
        LOGGER.log(logging.ERROR if bad else logging.INFO, event, extra={"fields": fields})
