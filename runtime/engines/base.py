"""The engine protocol: a language model that continues token ids. Token ids only, never text.

A continuation is passed back as the very ids that were sampled, so nothing is re-tokenised
between the rounds of a search and an engine's prefix cache always fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from allocator.errors import InputError, shortened
from allocator.schema import Schema
from predictors.token_logprobs import PlaceLogprobs
from runtime.engines.tokenizer import encode_text
from runtime.frontend.conversation import render_conversation

LARGEST = 2**31 - 1  # what engines hold in 32 bits
# Finish reasons of requests that vLLM gave up: it was stopped or put to sleep, or failed on them.
GIVEN_UP = ("abort", "error")


class SamplingSettings(Schema):
    """How solutions are sampled. Part of a table's fingerprint."""

    temperature: float = Field(default=1.0, ge=0, description="0 is greedy")
    top_p: float = Field(default=1.0, gt=0, le=1, description="nucleus sampling; 1 is off")
    top_k: int = Field(
        default=0, ge=0, le=LARGEST, description="of the likeliest tokens only; 0 is off"
    )
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="least share of the likeliest token's; 0 is off"
    )
    max_tokens: int = Field(
        default=1024,
        ge=1,
        le=LARGEST,
        description="longest solution in tokens, all its steps together",
    )
    step_end: str = Field(
        default="\n\n", min_length=1, description="text that ends a step; the PRM is read there"
    )
    max_steps: int = Field(
        default=256,
        ge=1,
        le=LARGEST,
        description="rounds of search at most; beams that have not ended by then stay unfinished "
        "(the paper's: 40)",
    )


@dataclass(frozen=True)
class Completion:
    """Tokens sampled after a prefix, the stop or end-of-sequence token among them.

    Attributes:
        token_ids: sampled ids.
        logprob: summed natural log-probability of the sampled tokens; nan if it was not requested.
        ended: whether the model's end of sequence or a stop token ended the solution (not a step's
            end, not the limit).
        cached_tokens: tokens of the prefix that the engine had in its cache. For several choices of
            one request a server reports only that of the last to end, which is used for all.
        stopped_by: the stop text that it stopped after; None if it stopped otherwise.
        repeating: whether the engine ended it because it repeated itself without end; see
            `EndsLoops`.
        thinking: thinking tokens of the whole solution; None where it has no thought. Engines leave
            this and the next to `runtime.solutions.thinker`.
        forced: whether the thought was ended at its cap.
        aborted: whether the request was ended because the solution's confidence fell below the
            threshold, see `predictors.confidence`.
        logprobs: log-probabilities at each of the tokens; None where they were not requested, or
            where one was not sampled.
    """

    token_ids: tuple[int, ...]
    logprob: float
    ended: bool
    cached_tokens: int = 0
    stopped_by: str | None = None
    repeating: bool = False
    thinking: int | None = None
    forced: bool = False
    aborted: bool = False
    logprobs: tuple[PlaceLogprobs, ...] | None = None


class Engine(Protocol):
    """A language model. Many coroutines may call `complete` at once, and it batches them."""

    tokenizer: Any
    context_length: int

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: Sequence[str] = (),
        stop_token_ids: Sequence[int] = (),
        logprob: bool = True,
    ) -> Completion:
        """Sample one continuation of `token_ids`.

        Cancelling a call aborts its request in the engine, once all calls that share the request
        are cancelled.

        Args:
            token_ids: the prompt and what has been sampled so far.
            settings: temperature, top-p, top-k and min-p.
            max_tokens: the most tokens to sample.
            seed: the same seed gives the same sample, whatever runs at the same time, as far as the
                model's numbers do not depend on that: on a GPU in bfloat16 they do, unless vLLM
                has VLLM_BATCH_INVARIANT=1 in its environment.
            stop: stop after the first of these texts, which stays part of the completion.
            stop_token_ids: tokens that end a solution as the model's own end of sequence does.
            logprob: whether its log-probability is needed. Otherwise it may be nan, which is
                faster, especially over a server.

        Raises:
            ModelError: the engine has failed.
        """
        ...

    def close(self) -> None:
        """Release the model. It may be called twice."""
        ...


@runtime_checkable
class HasHiddenState(Protocol):
    """An engine that gives the model's last hidden state."""

    async def hidden_state(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """The last layer's state at the last token, after the final norm, shape (hidden,)."""
        ...


@runtime_checkable
class HasConfidence(Protocol):
    """An engine that gives log-probabilities of the likeliest tokens at each place.

    Its `complete` then takes ``confidence``: the window of the solution that is continued, to which
    it adds every sampled token, and None for none. Once the window says that the solution is lost,
    the request is aborted; the completion ends with the token at which that happened.
    """

    @property
    def max_confidence_top(self) -> int:
        """The most of the likeliest tokens that it reads at one place."""
        ...


@runtime_checkable
class EndsLoops(Protocol):
    """An engine that ends a thought which repeats itself without end.

    Where `ends_loops` is true, its `complete` takes ``thought``: whether a thought is sampled.
    """

    @property
    def ends_loops(self) -> bool:
        """Whether it does."""
        ...


@runtime_checkable
class HasResources(Protocol):
    """An engine or verifier that says what it runs on."""

    @property
    def resources(self) -> str:
        """Its hardware, memory and context, in words."""
        ...


@runtime_checkable
class HasProcess(Protocol):
    """An engine or verifier that runs in its own process."""

    @property
    def alive(self) -> bool:
        """Whether the process runs. It does not start again."""
        ...


@runtime_checkable
class HasRequests(Protocol):
    """An engine that knows how many requests it has."""

    @property
    def requests(self) -> int:
        """Requests that it runs or that wait for it."""
        ...


@runtime_checkable
class HasCapacity(Protocol):
    """An engine that knows how many requests it runs at once."""

    def capacity(self, tokens: int) -> int | None:
        """Requests that each replica runs at once; None where a server does not tell.

        Args:
            tokens: that a request holds in the KV cache on average.
        """
        ...


@runtime_checkable
class HasReplicas(Protocol):
    """An engine of several servers, which share its requests."""

    @property
    def replicas(self) -> int:
        """How many servers there are."""
        ...


def encode_prompt(engine: Engine, text: str) -> tuple[int, ...]:
    """A prompt's token ids, through the model's chat template if it has one.

    Raises:
        InputError: an empty prompt, one that leaves no room in the context, or a chat template that
            fails.
    """
    if not text.strip():
        raise InputError("prompt", text, "the prompt is empty; give it some text")
    if engine.tokenizer.chat_template:
        written = render_conversation(
            engine.tokenizer, [{"role": "user", "content": text}], field="prompt"
        )
        ids = engine.tokenizer.encode(written, add_special_tokens=False)
    else:
        ids = encode_text(engine.tokenizer, text)
    check_room(engine, ids, text)
    return tuple(ids)


def check_room(engine: Engine, ids: Sequence[int], text: str) -> None:
    """Check that a prompt leaves room in the context for a solution.

    Raises:
        InputError: it has no tokens, or leaves no room.
    """
    if not ids:
        raise InputError("prompt", text, "the decoder prompt cannot be empty; give it some text")
    if len(ids) >= engine.context_length:
        raise InputError(
            "prompt",
            shortened(text),
            f"{len(ids)} tokens leave no room in the context of {engine.context_length}; "
            "shorten it: the maximum context length is for prompt and solution together",
        )


@lru_cache(256)  # many draws of a path ask for it in turn
def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from a path such as (run seed, prompt, "sample", 3), stable across runs."""
    words = np.frombuffer(b"".join(map(_words, parts)), dtype="<u4")
    low, high = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return int(high & 0x7FFFFFFF) << 32 | int(low)


def _words(part: int | str) -> bytes:
    """A part of a path as NumPy's seeds take a number: in words of 32 bits, the lowest first."""
    number = int.from_bytes(part.encode(), "big") if isinstance(part, str) else part
    return number.to_bytes(4 * max(1, -(-number.bit_length() // 32)), "little")


# Names a draw, on which its seed depends; the last part is a number.
SeedPath = tuple[str | int, ...]


def draw_seed(*path: int | str, number: int) -> int:
    """The 63-bit seed of draw `number` of a path; consecutive draws have consecutive seeds.

    An engine may take such draws as one request; see `runtime.engines.coalescer`.
    """
    return (derive_seed(*path) + number) % 2**63
