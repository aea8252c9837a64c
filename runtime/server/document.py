"""What the OpenAPI document says of answers: clients that are made from it know every field."""

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from runtime.result import Receipt
from runtime.server.access_log import GONE
from runtime.server.errors import TYPES


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CachedTokens(_Told):
    """Tokens of prompts that the engine did not have to read again."""

    cached_tokens: int


class Usage(_Told):
    """Tokens of a request, those of solutions that were not chosen among them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class Found(_Told):
    """Of a choice: its answer, None where it has none; its score, None where it was not asked."""

    answer: str | None
    score: float | None


class Spent(_Told):
    """What was decided for a prompt and what it cost; notes on what is not as was wished."""

    receipt: Receipt
    notes: list[str]


class SpentOnSeveral(_Told):
    """The same for several prompts, in their order."""

    receipts: list[Receipt]
    notes: list[str]


class AnswerMessage(_Told):
    """The assistant's turn."""

    role: Literal["assistant"]
    content: str
    refusal: None


class _Choice(_Told):
    index: int
    logprobs: None
    finish_reason: Literal["stop", "length"]
    ttc: Found


class ChatChoice(_Choice):
    """One solution."""

    message: AnswerMessage


class TextChoice(_Choice):
    """One solution."""

    text: str


class _Answer(_Told):
    id: str
    created: int
    model: str
    usage: Usage


class ChatAnswer(_Answer):
    """The answer to a conversation."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    ttc: Spent


class TextAnswer(_Answer):
    """The answers to prompts, those of the first prompt first."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    ttc: Spent | SpentOnSeveral


class ModelName(_Told):
    """A name to ask for; `root` is the one without a budget."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    parent: None
    max_model_len: int


class ModelNames(_Told):
    """All names to ask for."""

    object: Literal["list"]
    data: list[ModelName]


class Version(_Told):
    """The server's version."""

    version: str


class Error(_Told):
    """What is wrong, and the mend; `param` is the field that is wrong, None where it is none."""

    message: str
    type: str
    param: str | None
    code: None


class Refusal(_Told):
    """Why a request was not served."""

    error: Error


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": kind, "model": Refusal}
    for status, kind in (TYPES | {500: "server_error"}).items()
    if status != GONE
}
EVENT = {
    "type": "object",
    "description": "A chunk of the answer as JSON; at the end `[DONE]`. A chunk that reports "
    "progress has `ttc.event`, of a `kind`: `decision`, with the `decision`; `step`, with `step` "
    "(`search`, `beams`, `lookahead`, `round`, `place`) and `parent_place`; or `solution`, with "
    "`sample`, or `chain` and `attempt`, or the `step` that a beam ended with. Steps and solutions "
    "have `tokens` and, if scored, a `score`; solutions have an `answer`.",
    "properties": {"data": {"type": "string"}},
    "required": ["data"],
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; as server-sent events where `stream` is true",
        "content": {"text/event-stream": {"schema": EVENT}},
    }
}


class Documented(FastAPI):
    """An application whose document tells of no status 422: what is not valid is refused by 400."""

    def openapi(self) -> dict[str, Any]:
        """The document."""
        document = super().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document
