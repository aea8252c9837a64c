"""Requests as OpenAI and vLLM define them. A field that would change nothing is accepted, a field
that cannot be served is refused by name; none is ignored."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from allocator.errors import InputError
from runtime.engines.base import LARGEST
from runtime.frontend.conversation import Message, turns_of
from runtime.frontend.fields import Strict, only
from runtime.frontend.reasoning import Effort
from runtime.server.field_names import FREE_TEXT, MAX_STOPS, PROMPTS, STOPS, WHOLE_OUTPUT

NO_LOGPROBS = "log-probabilities are not available in this version"

Tokens = Annotated[int, Field(ge=1, le=LARGEST)]


class Compute(Strict):
    """The field ``ttc``: how much compute a request may cost.

    Attributes:
        budget: generations that each prompt may cost.
        deadline: seconds in which each prompt must be answered.
        budget_tokens: tokens that each prompt may cost on average over prompts of its bin.
        average_tokens: tokens that prompts may cost on average, by more or deeper thought.
        progress: whether a stream reports progress before the answer.
    """

    budget: Annotated[int, Field(ge=1)] | None = None
    deadline: Annotated[float, Field(gt=0)] | None = None
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    average_tokens: Annotated[float, Field(gt=0)] | None = None
    progress: bool = True


class StreamOptions(Strict):
    """The field ``stream_options``."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[bool | None, only(False)] = None
    continuous_usage_stats: Annotated[bool | None, only(False)] = None


class _Request(Strict):
    """Fields of both kinds of requests."""

    model: str
    max_tokens: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=LARGEST)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stop: Annotated[list[str], STOPS] = Field(default_factory=list)
    stop_token_ids: list[int] = Field(default_factory=list, max_length=MAX_STOPS)
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    # -1 is no budget, as in vLLM.
    thinking_token_budget: Annotated[int, Field(ge=-1, le=LARGEST)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ttc: Compute = Compute()

    # Accepted with any value: it changes nothing.
    user: str | None = None
    # Accepted only with the value that changes nothing.
    frequency_penalty: Annotated[float | None, only(0, why=WHOLE_OUTPUT)] = None
    presence_penalty: Annotated[float | None, only(0, why=WHOLE_OUTPUT)] = None
    repetition_penalty: Annotated[float | None, only(1, why=WHOLE_OUTPUT)] = None
    logit_bias: Annotated[Any, only({}, why=FREE_TEXT)] = None
    response_format: Annotated[Any, only({"type": "text"}, why=FREE_TEXT)] = None
    min_tokens: Annotated[int | None, only(0)] = None
    ignore_eos: Annotated[bool | None, only(False)] = None
    include_stop_str_in_output: Annotated[bool | None, only(False)] = None
    skip_special_tokens: Annotated[bool | None, only(True)] = None
    spaces_between_special_tokens: bool | None = None  # special tokens are not shown
    use_beam_search: Annotated[bool | None, only(False, why="the policy chooses the search")] = None
    prompt_logprobs: Annotated[int | None, only(why=NO_LOGPROBS)] = None

    @property
    def choices(self) -> int:
        """Number of choices per prompt."""
        return self.n or 1

    @property
    def longest(self) -> int | None:
        """The longest solution, in tokens; None uses the calibrated limit."""
        return self.max_tokens

    @property
    def thinking_budget(self) -> int | None:
        """The most tokens that a solution may think; None is no budget."""
        return None if self.thinking_token_budget == -1 else self.thinking_token_budget


class ChatRequest(_Request):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Tokens | None = None
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    reasoning_effort: Effort | None = None
    include_reasoning: bool = True

    metadata: dict[str, str | None] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    store: Annotated[bool | None, only(False)] = None
    service_tier: Annotated[str | None, only("auto", "default")] = None
    modalities: Annotated[list[str] | None, only(["text"])] = None
    logprobs: Annotated[bool | None, only(False, why=NO_LOGPROBS)] = None
    top_logprobs: Annotated[int | None, only(0, why=NO_LOGPROBS)] = None
    tools: Annotated[Any, only([], why=FREE_TEXT)] = None
    tool_choice: Annotated[Any, only("none", "auto", why=FREE_TEXT)] = None
    parallel_tool_calls: bool | None = None  # tools are refused
    add_generation_prompt: Annotated[bool | None, only(True)] = None
    continue_final_message: Annotated[bool | None, only(False)] = None

    @property
    def longest(self) -> int | None:
        """The longest solution, in tokens; None uses the calibrated limit."""
        return self.max_tokens or self.max_completion_tokens

    @model_validator(mode="after")
    def _check(self) -> "ChatRequest":
        if len({self.max_tokens, self.max_completion_tokens} - {None}) > 1:
            raise InputError(
                "max_completion_tokens",
                self.max_completion_tokens,
                f"max_tokens is {self.max_tokens}; give one of them",
            )
        turns_of(self.messages)
        return self


class CompletionRequest(_Request):
    """The body of POST /v1/completions; `prompt` holds texts or token ids."""

    prompt: Annotated[list[str | list[int]], PROMPTS]

    best_of: Annotated[int, Field(ge=1)] | None = None
    echo: Annotated[bool | None, only(False)] = None
    suffix: Annotated[str | None, only()] = None
    logprobs: Annotated[int | bool | None, only(False, why=NO_LOGPROBS)] = None
    add_special_tokens: Annotated[bool | None, only(True)] = None

    @model_validator(mode="after")
    def _check(self) -> "CompletionRequest":
        if self.best_of not in (None, self.choices):
            raise InputError(
                "best_of",
                self.best_of,
                "the budget says how many are sampled; leave it out, and set ttc.budget",
            )
        return self


class FeedbackRequest(Strict):
    """The body of POST /v1/feedback.

    Attributes:
        request_id: id of an answer, or of its header X-Request-Id.
        correct: whether the choice is right.
        index: number of the choice.
    """

    request_id: Annotated[str, Field(min_length=1)]
    correct: bool
    index: Annotated[int, Field(ge=0, le=LARGEST)] = 0


class ReloadRequest(Strict):
    """The body of POST /v1/reload.

    Attributes:
        artifact: a folder, or a name on the Hub; without one the server's own is read again.
        share: share of the requests that it answers; 1 for all, 0 to end a trial.
    """

    artifact: Annotated[str, Field(min_length=1)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _check(self) -> "ReloadRequest":
        if not self.share and self.artifact is not None:
            raise InputError("artifact", self.artifact, "with a share of 0 leave it out")
        return self
