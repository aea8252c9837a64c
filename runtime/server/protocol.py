"""Requests as OpenAI and vLLM define them. A field that would change nothing is accepted, a field
that cannot be served is refused by name; none is ignored."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from allocator.errors import InputError
from runtime.engines.base import LARGEST
from runtime.engines.token_options import TokenOptions
from runtime.frontend.answer_form import AnswerForm, CallVote, ResponseFormat, StructuredOutputs
from runtime.frontend.conversation import Message, turns_of
from runtime.frontend.fields import Strict, only
from runtime.frontend.reasoning import Effort
from runtime.frontend.token_fields import bias_of
from runtime.frontend.tool_fields import Tool, ToolChoice
from runtime.server.field_names import MAX_STOPS, PROMPTS, STOPS, WHOLE_OUTPUT

Tokens = Annotated[int, Field(ge=1, le=LARGEST)]
Integer64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Likeliest = Annotated[int, Field(ge=-1, le=LARGEST)]  # -1 is the whole vocabulary


class Compute(Strict):
    """The field ``ttc``: how much compute a request may cost.

    Attributes:
        budget: generations that each prompt may cost.
        deadline: seconds in which each prompt must be answered.
        budget_tokens: tokens that each prompt may cost on average over prompts of its bin.
        average_tokens: tokens that prompts may cost on average, by more or deeper thought.
        progress: whether a stream reports progress before the answer; by default it does, unless
            its chunks are to account for single tokens (`_Request.counts_tokens`).
        tool_vote: what of calls of tools is voted on: a solution's together (``call``), ``each`` by
            itself, or the tools' ``name`` alone.
    """

    budget: Annotated[int, Field(ge=1)] | None = None
    deadline: Annotated[float, Field(gt=0)] | None = None
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    average_tokens: Annotated[float, Field(gt=0)] | None = None
    progress: bool | None = None
    tool_vote: CallVote = "call"

    @property
    def in_tokens(self) -> bool:
        """Whether the budget is in tokens."""
        return self.budget_tokens is not None or self.average_tokens is not None


class StreamOptions(Strict):
    """The field ``stream_options``."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[bool | None, only(False)] = None
    continuous_usage_stats: bool | None = None


class TransferParams(Strict):
    """The field ``kv_transfer_params``: a prompt's ids, which a router got with an earlier reply.

    They are used as they are, in place of the messages.
    """

    prompt_token_ids: Annotated[list[int], Field(min_length=1)]


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
    seed: Integer64 | None = None
    # -1 is no budget, as in vLLM.
    thinking_token_budget: Annotated[int, Field(ge=-1, le=LARGEST)] | None = None
    response_format: ResponseFormat = ResponseFormat(type="text")
    structured_outputs: StructuredOutputs | None = None
    # Options of tokens; see `runtime.engines.token_options.TokenOptions`.
    min_tokens: Annotated[int, Field(ge=0, le=LARGEST)] | None = None
    ignore_eos: bool | None = None
    logit_bias: dict[str, Any] | None = None
    allowed_token_ids: list[int] | None = None
    logprob_token_ids: list[int] | None = None
    prompt_logprobs: Likeliest | None = None
    priority: Integer64 | None = None
    # Tokens of the prompt that are kept: the first, or by default the last.
    truncate_prompt_tokens: Tokens | None = None
    truncation_side: Literal["left", "right"] | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ttc: Compute = Compute()

    # Accepted with any value: it changes nothing.
    user: str | None = None
    # Accepted only with the value that changes nothing.
    frequency_penalty: Annotated[float | None, only(0, why=WHOLE_OUTPUT)] = None
    presence_penalty: Annotated[float | None, only(0, why=WHOLE_OUTPUT)] = None
    repetition_penalty: Annotated[float | None, only(1, why=WHOLE_OUTPUT)] = None
    include_stop_str_in_output: Annotated[bool | None, only(False)] = None
    skip_special_tokens: Annotated[bool | None, only(True)] = None
    spaces_between_special_tokens: bool | None = None  # special tokens are not shown
    use_beam_search: Annotated[bool | None, only(False, why="the policy chooses the search")] = None

    @model_validator(mode="after")
    def _check_form(self) -> "_Request":
        if self.structured_outputs is not None and self.response_format.type != "text":
            given = self.structured_outputs.form.constraint
            hint = "response_format says the form of the answer already; give one of them"
            raise InputError("structured_outputs", given and given.text, hint)
        return self

    @property
    def form(self) -> AnswerForm:
        """The form of the answers, but for calls of tools."""
        given = self.structured_outputs
        return self.response_format.form if given is None else given.form

    @property
    def choices(self) -> int:
        """Number of choices per prompt."""
        return self.n or 1

    @property
    def longest(self) -> int | None:
        """The longest solution, in tokens; None uses the calibrated limit."""
        return self.max_tokens

    @property
    def likeliest(self) -> int | None:
        """Likeliest tokens to return at each place of a solution; None for no log-probabilities."""
        raise NotImplementedError

    @property
    def of_prompt(self) -> int | None:
        """The same, of the prompt."""
        return self.prompt_logprobs

    @property
    def options(self) -> TokenOptions:
        """What it requests of single tokens."""
        own = self.logprob_token_ids if self.likeliest is not None else None
        return TokenOptions(
            logprobs=len(own) if own else self.likeliest,
            logprob_token_ids=tuple(own or ()),
            min_tokens=self.min_tokens or 0,
            ignore_eos=bool(self.ignore_eos),
            logit_bias=bias_of(self.logit_bias),
            allowed_token_ids=tuple(self.allowed_token_ids or ()),
            priority=self.priority or 0,
        )

    @property
    def counts_tokens(self) -> bool:
        """Whether chunks of a stream account for single tokens."""
        options = self.stream_options
        continuous = options is not None and bool(options.continuous_usage_stats)
        return continuous or bool(self.return_token_ids) or self.likeliest is not None

    @property
    def thinking_budget(self) -> int | None:
        """The most tokens that a solution may think; None is no budget."""
        return None if self.thinking_token_budget == -1 else self.thinking_token_budget


class ChatRequest(_Request):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    kv_transfer_params: TransferParams | None = None
    max_completion_tokens: Tokens | None = None
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    reasoning_effort: Effort | None = None
    include_reasoning: bool = True

    metadata: dict[str, str | None] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    store: Annotated[bool | None, only(False)] = None
    service_tier: Annotated[str | None, only("auto", "default")] = None
    modalities: Annotated[list[str] | None, only(["text"])] = None
    logprobs: Annotated[bool, Field(strict=False)] | None = None  # also "true", as in vLLM
    top_logprobs: Likeliest | None = None
    add_generation_prompt: Annotated[bool | None, only(True)] = None
    continue_final_message: Annotated[bool | None, only(False)] = None

    @property
    def longest(self) -> int | None:
        """The longest solution, in tokens; None uses the calibrated limit."""
        return self.max_tokens or self.max_completion_tokens

    @property
    def likeliest(self) -> int | None:
        """Likeliest tokens to return at each place of a solution; None for no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @model_validator(mode="after")
    def _check(self) -> "ChatRequest":
        if len({self.max_tokens, self.max_completion_tokens} - {None}) > 1:
            raise InputError(
                "max_completion_tokens",
                self.max_completion_tokens,
                f"max_tokens is {self.max_tokens}; give one of them",
            )
        if self.top_logprobs and not self.logprobs:
            raise InputError("top_logprobs", self.top_logprobs, "set logprobs as well")
        turns_of(self.messages)
        if not self.tools and self.tool_choice not in ("none", "auto"):
            raise InputError("tool_choice", str(self.tool_choice), "there are no tools; give some")
        if self.tools and self.tool_choice != "none" and self.form.constraint is not None:
            hint = f"{self.form.constraint.field} leaves no room for calls; give one of them"
            raise InputError("tools", [tool.function.name for tool in self.tools], hint)
        return _checked(self)


class CompletionRequest(_Request):
    """The body of POST /v1/completions; `prompt` holds texts or token ids."""

    prompt: Annotated[list[str | list[int]], PROMPTS]

    best_of: Annotated[int, Field(ge=1)] | None = None
    echo: bool | None = None
    suffix: Annotated[str | None, only()] = None
    logprobs: Likeliest | Literal[False] | None = None
    add_special_tokens: Annotated[bool | None, only(True)] = None

    @model_validator(mode="after")
    def _check(self) -> "CompletionRequest":
        if self.best_of not in (None, self.choices):
            raise InputError(
                "best_of",
                self.best_of,
                "the budget says how many are sampled; leave it out, and set ttc.budget",
            )
        return _checked(self)

    @property
    def likeliest(self) -> int | None:
        """Likeliest tokens to return at each place of a solution; None for no log-probabilities."""
        return None if self.logprobs is False else self.logprobs

    @property
    def of_prompt(self) -> int | None:
        """Likeliest tokens to return at each place of the prompt; an echoed one has them, too."""
        if self.prompt_logprobs is None and self.echo:
            return self.likeliest
        return self.prompt_logprobs


def with_defaults(
    body: ChatRequest | CompletionRequest, tokens_as_ids: bool, force_usage: bool
) -> ChatRequest | CompletionRequest:
    """A body with what the server is set to do for all of them.

    Args:
        body: the request's.
        tokens_as_ids: write tokens as ``token_id:N``, unless the request says otherwise.
        force_usage: give usage with every chunk of a stream, whatever the request says.
    """
    changed: dict[str, Any] = {}
    if tokens_as_ids and body.return_tokens_as_token_ids is None:
        changed["return_tokens_as_token_ids"] = True
    if force_usage and body.stream:
        options = StreamOptions(include_usage=True, continuous_usage_stats=True)
        changed["stream_options"] = options
    return body.model_copy(update=changed) if changed else body


Body = TypeVar("Body", ChatRequest, CompletionRequest)


def _checked(body: Body) -> Body:
    """A body whose fields go together."""
    if body.stream_options is not None and not body.stream:
        raise InputError("stream_options", None, "it is for streams alone; set stream, too")
    if body.prompt_logprobs is not None and body.stream:
        hint = "a stream does not return them, as vLLM's; leave it out"
        raise InputError("prompt_logprobs", body.prompt_logprobs, hint)
    if body.logprob_token_ids and body.likeliest is None:
        raise InputError("logprob_token_ids", body.logprob_token_ids, "set logprobs as well")
    return body
