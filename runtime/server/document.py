"""Schemas of answers for the OpenAPI document, from which clients are generated."""

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from runtime.result import Receipt
from runtime.server.access_log import GONE
from runtime.server.errors import TYPES


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CachedTokens(_Strict):
    """Prompt tokens that the engine had in its cache."""

    cached_tokens: int


class ReasoningTokens(_Strict):
    """Sampled tokens of thoughts."""

    reasoning_tokens: int


class Usage(_Strict):
    """Tokens of a request, including solutions that were not chosen.

    Only models that have thoughts have `completion_tokens_details`.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens | None = None


class Found(_Strict):
    """Of a choice: its answer, None if it has none; its score, None if it was not scored."""

    answer: str | None
    score: float | None


class Spent(_Strict):
    """What was decided for a prompt and what it cost; notes on what differs from the request."""

    receipt: Receipt
    notes: list[str]


class SpentOnSeveral(_Strict):
    """The same for several prompts, in their order."""

    receipts: list[Receipt]
    notes: list[str]


class CalledFunction(_Strict):
    """A function's name, and its arguments as the text of a JSON object."""

    name: str
    arguments: str


class Call(_Strict):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class AnswerMessage(_Strict):
    """The assistant's turn. Of a model that has thoughts, the thought stands apart in `reasoning`,
    and the content is null where the thought has not ended. Calls of tools stand apart in
    `tool_calls`, and the content is null where there is no text before them."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None


class TokenEntry(_Strict):
    """A token, its log-probability, and its text as bytes."""

    token: str
    logprob: float
    bytes: list[int]


class TokenPlace(TokenEntry):
    """A token of a solution, and the likeliest at its place."""

    top_logprobs: list[TokenEntry]


class ChatLogprobs(_Strict):
    """Log-probabilities of a chat's solution."""

    content: list[TokenPlace]
    refusal: None


class TextLogprobs(_Strict):
    """Log-probabilities of a text's solution, and of its prompt if that is echoed."""

    text_offset: list[int]
    token_logprobs: list[float | None]
    tokens: list[str]
    top_logprobs: list[dict[str, float] | None]


class PromptToken(_Strict):
    """A token that may stand at a place of the prompt."""

    logprob: float
    rank: int | None
    decoded_token: str


class _OfPrompt(_Strict):
    """What is told of a prompt; null unless requested."""

    prompt_logprobs: list[dict[str, PromptToken] | None] | None
    prompt_token_ids: list[int] | None


class _Choice(_Strict):
    index: int
    token_ids: list[int] | None
    finish_reason: Literal["stop", "length", "tool_calls"]
    ttc: Found


class ChatChoice(_Choice):
    """One solution."""

    message: AnswerMessage
    logprobs: ChatLogprobs | None


class TextChoice(_Choice, _OfPrompt):
    """One solution."""

    text: str
    logprobs: TextLogprobs | None


class _Answer(_Strict):
    id: str
    created: int
    model: str
    usage: Usage


class ChatAnswer(_Answer, _OfPrompt):
    """The answer to a conversation."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    ttc: Spent


class TextAnswer(_Answer):
    """The answers to prompts, those of the first prompt first."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    ttc: Spent | SpentOnSeveral


class ModelName(_Strict):
    """A model name; `root` is the name without a budget."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    parent: None
    max_model_len: int


class ModelNames(_Strict):
    """All model names."""

    object: Literal["list"]
    data: list[ModelName]


class Version(_Strict):
    """The server's version."""

    version: str


class ServedArtifact(_Strict):
    """An artifact in service, and what it has answered since; `accuracy` is the share of right
    answers among those that clients called right or wrong."""

    artifact: str
    since: int
    prompts: int
    generations: int
    sampled_tokens: int
    failures: int
    right: int
    wrong: int
    accuracy: float | None


class ServedArtifacts(_Strict):
    """The artifact that answers; and the one that is tried, on `share` of the requests."""

    current: ServedArtifact
    trial: ServedArtifact | None
    share: float


class FeedbackTaken(_Strict):
    """What was done with feedback: `artifact` answered the request; `recorded` is whether its
    samples are recorded, and the feedback with them."""

    request_id: str
    artifact: str
    recorded: bool


class Error(_Strict):
    """What is wrong, and a hint; `param` is the field that is wrong, None if no field is."""

    message: str
    type: str
    param: str | None
    code: None


class Refusal(_Strict):
    """Why a request was not served."""

    error: Error


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": kind, "model": Refusal}
    for status, kind in (TYPES | {500: "server_error", 502: "server_error"}).items()
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
    """An application that documents no status 422: invalid requests are refused with 400."""

    def openapi(self) -> dict[str, Any]:
        """The document."""
        document = super().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document
