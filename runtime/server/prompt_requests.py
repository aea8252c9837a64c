"""From a request's body to what the solver is asked: prompts, sampling, budget, deadline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from allocator.errors import InputError
from runtime.engines.base import Engine
from runtime.engines.tokenizer import check_token_ids, decode, encode_text
from runtime.frontend.conversation import (
    conversation_text,
    render_conversation,
    template_notes,
    template_variables,
    turns_of,
)
from runtime.frontend.sampling_overrides import sampling_for, unsigned
from runtime.request import Request, RequestSettings
from runtime.server.protocol import ChatRequest, CompletionRequest
from runtime.solving.solve import Solver


@dataclass(frozen=True)
class PromptRequest:
    """One prompt of a request, checked.

    Attributes:
        request: the prompt and its wishes.
        budget: generations it may cost.
        deadline: seconds in which to answer; None for as many as it takes.
        notes: what the client should know about it.
    """

    request: Request
    budget: int
    deadline: float | None
    notes: tuple[str, ...]


def prompt_requests(
    body: ChatRequest | CompletionRequest, solver: Solver, budget: int
) -> list[PromptRequest]:
    """The prompts of a body, each checked before any is worked on.

    Args:
        body: the request's.
        solver: what will answer them.
        budget: generations each may cost.

    Raises:
        InputError: what the solver cannot do.
    """
    if body.choices > budget:
        raise InputError(
            "n", body.choices, f"it is more than the budget of {budget}; raise that, or lower n"
        )
    solver.check(budget, body.ttc.deadline)
    sampling, notes = sampling_for(
        solver.settings.sampling,
        budget,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        max_tokens=body.longest,
    )
    engine = solver.models.engine
    if isinstance(body, ChatRequest):
        variables = template_variables(body.chat_template_kwargs, engine.tokenizer)
        prompts = [_conversation(engine, turns_of(body.messages), variables)]
        notes += template_notes(variables)
    else:
        prompts = [_encoded(engine, prompt) for prompt in body.prompt]
    ends = check_token_ids(engine.tokenizer, body.stop_token_ids, "stop_token_ids")
    settings = RequestSettings(sampling, tuple(body.stop), ends)
    prompt_requests = []
    for text, ids in prompts:
        request = Request(
            text=text,
            token_ids=ids,
            settings=settings,
            seed=unsigned(body.seed),
            solutions=body.choices,
        )
        encoded = replace(request, token_ids=solver.start(request).context.token_ids)
        prompt_requests.append(PromptRequest(encoded, budget, body.ttc.deadline, tuple(notes)))
    return prompt_requests


def _conversation(
    engine: Engine, turns: Sequence[Mapping[str, str]], variables: Mapping[str, Any]
) -> tuple[str, tuple[int, ...] | None]:
    """A conversation as text and as token ids; None for a lone prompt, asked as in calibration."""
    text = conversation_text(turns)
    if [turn["role"] for turn in turns] == ["user"] and not variables:
        return text, None
    written = render_conversation(engine.tokenizer, turns, variables=variables)
    return text, tuple(engine.tokenizer.encode(written, add_special_tokens=False))


def _encoded(engine: Engine, prompt: str | list[int]) -> tuple[str, tuple[int, ...]]:
    """A prompt as text and as token ids, whichever of them was given."""
    if isinstance(prompt, str):
        return prompt, encode_text(engine.tokenizer, prompt)
    ids = check_token_ids(engine.tokenizer, prompt, "prompt")
    return decode(engine.tokenizer, ids), ids
