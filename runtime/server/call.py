"""One API request in progress."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runtime.request import Event
from runtime.result import Result
from runtime.server.access_log import RequestRecord
from runtime.server.live.store import RequestView
from runtime.server.policies import ServedPolicy
from runtime.server.prompt_requests import PromptRequest
from runtime.server.protocol import ChatRequest, CompletionRequest


@dataclass(eq=False)
class Call:
    """One API request in progress.

    Attributes:
        body: the request's body.
        prompt_requests: its prompts.
        record: its record in the access log.
        id: its id in answers.
        policy: the artifact that answers it.
        tokenizer: the language model's.
        thinks: whether the model has thoughts, which chats show apart from the content.
        created: Unix time, in seconds.
        event_handlers: called with a prompt's number and each of its events.
        views: its prompts on the live page.
        recorded: numbers of the prompts that were recorded.
    """

    body: ChatRequest | CompletionRequest
    prompt_requests: list[PromptRequest]
    record: RequestRecord
    id: str
    policy: ServedPolicy
    tokenizer: Any
    thinks: bool = False
    created: float = field(default_factory=time.time)
    event_handlers: list[Callable[[int, Event], None]] = field(default_factory=list)
    views: list[RequestView] = field(default_factory=list)
    recorded: set[int] = field(default_factory=set)

    @property
    def results(self) -> dict[int, Result]:
        """Results so far, by the prompt's number."""
        return self.record.results

    def emit(self, number: int, event: Event) -> None:
        """Pass an event of a prompt to all event handlers."""
        for handler in self.event_handlers:
            handler(number, event)
