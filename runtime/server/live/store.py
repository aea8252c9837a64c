"""Data of the live page: requests in progress, the last finished ones, and totals.

All of it belongs to one event loop. Events only change the data; readers poll for changes.
"""

import re
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from allocator.plan import Plan
from runtime.request import Event
from runtime.result import Receipt, Result
from runtime.server.live.search import Search
from runtime.server.usage import Usage

LONG_TEXT, SHORT_TEXT = 4000, 160  # characters kept, and of those in a list
OF_DECISION = ("predicted_pass_at_1", "low", "high", "bin", "bins", "drifted")


class RequestView:
    """One prompt of a request; `LiveStore.begin` creates it.

    Attributes:
        number: unique, also across restarts of the server.
        version: the store's version at its last change.
        search: its search so far.
    """

    def __init__(
        self, live_store: "LiveStore", request_id: str, model: str, budget: int, prompt: str
    ) -> None:
        self.number, self.version = next(live_store.numbers), 0
        self.search = Search(live_store.show_prompts)
        self._store, self._budget = live_store, budget
        self._id, self._model = request_id[:SHORT_TEXT], model[:SHORT_TEXT]
        self._prompt = prompt[:LONG_TEXT] if live_store.show_prompts else None
        self._status, self._began, self._seconds = "running", live_store.clock(), 0.0
        self._decision: dict[str, Any] = {}
        self._plan: str | None = None
        self._answer: str | None = None
        self._error: str | None = None
        self._receipt: Receipt | None = None
        live_store.changed(self)

    def on_event(self, event: Event) -> None:
        """Record an event, within microseconds. For `Request.on_event`."""
        if self._status != "running":
            return
        if event.kind == "step" and event.step is not None:
            self.search.step(event.step, event.parent_place, event.score)
        elif event.kind == "solution":
            self.search.solution(event)
        elif event.decision is not None:
            self._decided(event.decision)
        self._store.changed(self)

    def finished(self, result: Result) -> None:
        """The request is answered. Of `finished`, `failed`, `cancelled` the first call counts."""
        if self._status != "running":
            return
        self._receipt = result.receipt
        self._decided(result.receipt.model_dump(mode="json"))
        self.search.finish(result.ranked, result.receipt.plan.selection)
        if self._store.show_prompts and result.answer is not None:
            self._answer = result.answer[:LONG_TEXT]
        self._end("done", result.receipt.seconds)

    def failed(self, message: str) -> None:
        """The request cannot be answered.

        Args:
            message: why. Quoted text is left out unless prompts are shown.
        """
        if self._status != "running":
            return
        shown = message if self._store.show_prompts else _unquoted(message)
        self._error = shown[:LONG_TEXT]
        self._end("failed", self._store.clock() - self._began)

    def cancelled(self) -> None:
        """The client has disconnected."""
        if self._status == "running":
            self._end("cancelled", self._store.clock() - self._began)

    def to_json(self) -> dict[str, Any]:
        """Its row in the list, as JSON."""
        return {key: self._decision.get(key) for key in OF_DECISION} | {
            "number": self.number,
            "id": self._id,
            "model": self._model,
            "prompt": self._prompt and self._prompt[:SHORT_TEXT],
            "status": self._status,
            "began": self._began,
            "seconds": None if self._status == "running" else round(self._seconds, 3),
            "plan": self._plan,
            "budget": self._budget,
            "spent": self._receipt.generations if self._receipt else self.search.spent,
            "answer": self._answer and self._answer[:SHORT_TEXT],
        }

    def to_full_json(self, steps_known: int) -> dict[str, Any]:
        """The whole view, as JSON.

        Args:
            steps_known: number of its search's steps that the reader already has.
        """
        return self.to_json() | {
            "whole": {
                "prompt": self._prompt,
                "answer": self._answer,
                "error": self._error,
                "why": self._decision.get("why"),
                "selection": self._decision.get("plan", {}).get("selection"),
                "receipt": self._receipt and self._receipt.model_dump(mode="json"),
                "search": self.search.to_json(steps_known),
            }
        }

    def _decided(self, decision: dict[str, Any]) -> None:
        self._decision = decision
        self._plan = str(Plan.model_validate(decision["plan"]))

    def _end(self, status: str, seconds: float) -> None:
        self._status, self._seconds = status, seconds
        self._store.changed(self)
        self._store.ended(self, status, self._budget, self._receipt)


class LiveStore:
    """Requests in progress, the last finished ones, and totals; its memory is bounded.

    Args:
        show_prompts: keep prompts and answers.
        keep: number of finished requests to keep.
        clock: seconds since 1970.

    Attributes:
        version: grows with every change.
        closed: whether readers must disconnect.
    """

    def __init__(
        self, show_prompts: bool, keep: int = 50, clock: Callable[[], float] = time.time
    ) -> None:
        self.show_prompts, self.clock = show_prompts, clock
        self.version, self.closed = 0, False
        # Counted from the time, so that numbers are not used again after a restart.
        self.numbers = count(int(clock() * 1000))
        self._running: dict[int, RequestView] = {}
        self._ended: deque[RequestView] = deque(maxlen=keep)
        self._usage = Usage(clock)

    def begin(self, request_id: str, model: str, budget: int, prompt: str) -> RequestView:
        """Add a request.

        Args:
            request_id: its id in answers.
            model: the model requested.
            budget: generations that it may cost.
            prompt: kept only if prompts are shown.
        """
        view = RequestView(self, request_id, model, budget, prompt)
        self._running[view.number] = view
        return view

    def close(self) -> None:
        """Disconnect all readers: the server stops."""
        self.closed = True

    def changed(self, view: RequestView) -> None:
        """Record that a view has changed."""
        self.version += 1
        view.version = self.version

    def ended(self, view: RequestView, status: str, budget: int, receipt: Receipt | None) -> None:
        """Record that a view's request has ended."""
        self._ended.append(self._running.pop(view.number))
        self._usage.add(status, budget, receipt)

    def views(self) -> list[RequestView]:
        """All views, in the order of their beginning."""
        return sorted([*self._ended, *self._running.values()], key=lambda view: view.number)

    def totals(self) -> dict[str, Any]:
        """Totals as JSON, and how many requests run."""
        return self._usage.to_json() | {"running": len(self._running)}


def _unquoted(message: str) -> str:
    """A message without the text between its first and last quote, which is the bad value."""
    return re.sub(r"(['\"]).*\1", "...", message, flags=re.DOTALL)
