"""From a request's body to what the solver is asked: prompts, sampling, budget, deadline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jinja2 import TemplateError

from allocator.errors import InputError
from runtime.conversation import conversation_text
from runtime.engine import Engine
from runtime.request import Request
from runtime.server.protocol import ChatRequest, CompletionRequest, Message
from runtime.solve import Solver
from runtime.tokenizer import encode_text
from runtime.wishes import sampling_for


@dataclass(frozen=True)
class Ask:
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


def asks_of(body: ChatRequest | CompletionRequest, solver: Solver, budget: int) -> list[Ask]:
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
        solver.decoder.settings,
        budget,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        max_tokens=body.longest,
    )
    engine = solver.decoder.engine
    if isinstance(body, ChatRequest):
        text = conversation_text([_plain(message) for message in body.messages])
        prompts = [(text, _chat_ids(engine, body.messages))]
    else:
        prompts = [_encoded(engine, prompt) for prompt in body.prompt]
    asks = []
    for text, ids in prompts:
        request = Request(
            text=text,
            token_ids=ids,
            sampling=sampling,
            stop=tuple(body.stop),
            seed=None if body.seed is None else body.seed % 2**64,  # no sign, all bits
            solutions=body.choices,
        )
        encoded = replace(request, token_ids=solver.start(request).context.token_ids)
        asks.append(Ask(encoded, budget, body.ttc.deadline, tuple(notes)))
    return asks


def _chat_ids(engine: Engine, messages: Sequence[Message]) -> tuple[int, ...] | None:
    """Messages through the model's chat template; None for a lone one of the user, a prompt."""
    if [message.role for message in messages] == ["user"]:
        return None
    if not any(message.content.strip() for message in messages):
        raise InputError("messages", "", "they are empty; give them some text")
    if not engine.tokenizer.chat_template:
        raise InputError(
            "messages",
            len(messages),
            "the model has no chat template; give one user's message, or use /v1/completions",
        )
    written = [_plain(message) for message in messages]
    try:
        return tuple(
            engine.tokenizer.apply_chat_template(
                written, add_generation_prompt=True, return_dict=False
            )
        )
    except TemplateError as error:
        roles = [message.role for message in messages]
        raise InputError("messages", roles, f"the model's chat template says: {error}") from None


def _plain(message: Message) -> dict[str, str]:
    """A message as templates know it; a developer's, OpenAI's later word, is the system's."""
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": message.content}


def _encoded(engine: Engine, prompt: str | list[int]) -> tuple[str, tuple[int, ...]]:
    """A prompt as text and as token ids, whichever of them was given."""
    if isinstance(prompt, str):
        return prompt, encode_text(engine.tokenizer, prompt)
    size = len(engine.tokenizer)
    if unknown := [token for token in prompt if not 0 <= token < size]:
        raise InputError("prompt", unknown[0], f"token ids are 0 to {size - 1}")
    return str(engine.tokenizer.decode(prompt, skip_special_tokens=True)), tuple(prompt)
