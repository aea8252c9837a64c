"""A language model behind an OpenAI-compatible server: one `vllm serve`, or several replicas of it.

Prompts go out as token ids and come back as token ids (vLLM's ``return_token_ids``), so search is
the same as in process. Requests of one prompt go to the same replica (`runtime.engines.servers`);
those of one moment go together.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import nan
from pathlib import Path
from typing import Any, TypeVar

from transformers import AutoTokenizer

from allocator.errors import ModelError
from predictors.token_logprobs import PlaceLogprobs, TokenLogprob
from runtime.engines.base import GIVEN_UP, LARGEST, Completion, SamplingSettings
from runtime.engines.coalescer import EngineRequest, RequestCoalescer
from runtime.engines.constraint import Constraint
from runtime.engines.servers import BusyError, RefusedError, Servers
from runtime.engines.token_options import PLAIN, TokenOptions
from runtime.engines.tokenizer import token_texts, vocabulary_size
from runtime.engines.vllm_requests import loop_detection

PATH = "v1/completions"

# Requests that a server runs at once at most, for it does not tell: vLLM's default on large GPUs.
# A server that runs fewer has the others wait.
SEQUENCES = 1024
# What `vllm serve` would otherwise fill in from the model's generation_config.json, or from how
# it was started: off, as in process.
NEUTRAL = {
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "watermarking": False,
}
# Log-probabilities that a server returns at a place, where it does not say: vLLM's default.
USUAL_LOGPROBS = 20
MALFORMED = (400, 422)  # statuses of a request that a server cannot make sense of

Read = TypeVar("Read")


class OpenAIEngine:
    """A language model behind one or more `vllm serve`.

    Args:
        urls: where the replicas are, as ``http://host:8000``.
        model: the model's folder, for its tokenizer.
        served: the name it is served under; of the servers, those that serve it are used. None
            takes the one model that all servers serve.

    Attributes:
        max_logprobs: see `runtime.engines.token_options.HasTokenOptions`; of the servers that
            return the fewest, vLLM's option ``--max-logprobs``.
        resources: where it runs, in words.

    A key for the servers is read from the environment variable OPENAI_API_KEY. Start them with
    ``--enable-prompt-tokens-details`` to have cached tokens counted.

    Raises:
        InputError: a server that cannot be reached, or that does not serve the model.
    """

    def __init__(self, urls: Sequence[str], model: Path, served: str | None = None) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model)
        self._servers = Servers("engine", urls, served)
        self.context_length = self._servers.context_length
        self.resources = self._servers.resources
        self.max_logprobs = _max_logprobs(self._servers)
        self._coalescer = RequestCoalescer(self._send)

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
        constraint: Constraint | None = None,
        options: TokenOptions = PLAIN,
        thought: bool = False,
    ) -> Completion:
        """Sample one continuation; see `runtime.engines.base.Engine.complete`.

        Calls of one moment go together, and come back together; see `runtime.engines.coalescer`.
        Busy and failing servers are tried again; see `runtime.engines.servers.Servers.post`.

        Raises:
            ConstraintError: the server refuses the constraint, which it alone checks.
        """
        request = EngineRequest(
            tuple(token_ids), settings, max_tokens, tuple(stop), tuple(stop_token_ids), logprob,
            constraint, options, thought,
        )  # fmt: skip
        return await self._coalescer.complete(request, seed)

    async def _send(self, request: EngineRequest, seed: int, n: int) -> list[Completion]:
        """Completions under n seeds, the given one and those after it."""
        options, likeliest = request.options, request.options.logprobs
        if likeliest is None and request.logprob:
            likeliest = 0
        body: dict[str, Any] = {
            "prompt": list(request.token_ids),
            "n": n,
            "temperature": request.settings.temperature,
            "top_p": request.settings.top_p,
            "top_k": request.settings.top_k,
            "min_p": request.settings.min_p,
            "max_tokens": request.max_tokens,
            "seed": seed,
            "stop": request.stop,
            "stop_token_ids": request.stop_token_ids,
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,  # stop texts may be special tokens, as marks of thoughts
            "min_tokens": options.min_tokens,
            "ignore_eos": options.ignore_eos,
            "logit_bias": dict(options.logit_bias) or None,
            "allowed_token_ids": options.allowed_token_ids or None,
            "priority": options.priority,
            "logprobs": likeliest,
            "logprob_token_ids": options.logprob_token_ids or None,
            # Several tokens may have one text, by which the likeliest would be listed.
            "return_tokens_as_token_ids": options.logprobs is not None,
            "return_token_ids": True,
        } | NEUTRAL
        if request.constraint is not None:
            body["structured_outputs"] = request.constraint.fields
        if request.thought:
            body["repetition_detection"] = loop_detection(
                options, request.max_tokens, request.constraint
            )
        ids = request.token_ids
        texts = () if options.logprobs is None else token_texts(self.tokenizer)
        read = partial(_read, partial(_completions, request, n, texts))
        try:
            place, found = await self._servers.post(PATH, body, ids, read, choices=n)
        except RefusedError as refused:
            if request.constraint is None or refused.status not in MALFORMED:
                raise
            raise request.constraint.refused(refused.what) from refused
        self._servers.replicas.note_cached(place, ids, [c.token_ids for c in found])
        return found

    async def text_logprobs(
        self, token_ids: Sequence[int], likeliest: int
    ) -> tuple[PlaceLogprobs | None, ...]:
        """See `runtime.engines.token_options.HasTokenOptions`."""
        body = {"prompt": list(token_ids), "max_tokens": 1, "prompt_logprobs": likeliest} | NEUTRAL
        read = partial(_read, _prompt_logprobs)
        _, found = await self._servers.post(PATH, body, token_ids, read)
        return found

    @property
    def ends_loops(self) -> bool:
        """See `runtime.engines.base.EndsLoops`."""
        return True

    @property
    def vocabulary_size(self) -> int:
        """See `runtime.engines.token_options.HasTokenOptions`; of tokens that have a text."""
        return vocabulary_size(self.tokenizer)

    def check_constraint(self, constraint: Constraint) -> None:
        """See `runtime.engines.constraint.HasConstraints`; only a request shows it."""

    def capacity(self, tokens: int) -> int | None:
        """See `runtime.engines.base.HasCapacity`."""
        room = self._servers.kv_tokens
        return None if room is None else min(SEQUENCES, room // tokens)

    @property
    def replicas(self) -> int:
        """See `runtime.engines.base.HasReplicas`."""
        return len(self._servers.replicas.in_use)

    @property
    def requests(self) -> int:
        """See `runtime.engines.base.HasRequests`."""
        return self._servers.replicas.requests

    @property
    def alive(self) -> bool:
        """Whether any of the servers answers; see `runtime.engines.servers.Servers.alive`."""
        return self._servers.alive

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()


def _max_logprobs(servers: Servers) -> int:
    """The most log-probabilities that all servers return at a place.

    A server has them in no reply but that in which it refuses more than any returns.
    """
    replies = servers.each(PATH, {"prompt": [0], "max_tokens": 1, "logprobs": LARGEST})
    said = [re.search(r"greater than max allowed: (\d+)", text) for _, _, text in replies]
    return min(int(found[1]) if found else USUAL_LOGPROBS for found in said)


def _read(read: Callable[[dict[str, Any]], Read], text: str) -> Read:
    """What is read of a server's reply.

    Raises:
        BusyError: the server gave the request up.
        ModelError: the reply lacks a required field.
    """
    try:
        return read(json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            "engine",
            f"a reply without vllm serve's fields ({type(error).__name__} {error}): {text[:300]}",
        ) from error


def _completions(
    request: EngineRequest, n: int, texts: Sequence[str], reply: dict[str, Any]
) -> list[Completion]:
    """A server's n completions, in the order of their seeds."""
    choices = {choice["index"]: choice for choice in reply["choices"]}
    if any(choice["finish_reason"] in GIVEN_UP for choice in choices.values()):
        raise BusyError("the server ended the request unfinished")
    details = (reply.get("usage") or {}).get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or 0
    return [_completion(choices[index], cached, request, texts) for index in range(n)]


def _completion(
    choice: dict[str, Any], cached_tokens: int, request: EngineRequest, texts: Sequence[str]
) -> Completion:
    reason, repeating = choice.get("stop_reason"), choice["finish_reason"] == "repetition"
    # For a loop vLLM names a reason of its own, which is none of the stop texts.
    stopped_by = reason if isinstance(reason, str) and not repeating else None
    token_ids = tuple(choice["token_ids"])
    if choice["finish_reason"] == "length" and len(token_ids) < request.max_tokens:
        raise ModelError(
            "engine",
            f"the server stopped after {len(token_ids)} of {request.max_tokens} tokens; start it "
            "without a max_new_tokens of its own (--override-generation-config)",
        )
    return Completion(
        token_ids=token_ids,
        logprob=sum(choice["logprobs"]["token_logprobs"]) if request.logprob else nan,
        ended=choice["finish_reason"] == "stop" and stopped_by is None,
        repeating=repeating,
        cached_tokens=cached_tokens,
        stopped_by=stopped_by,
        logprobs=None
        if request.options.logprobs is None
        else tuple(_place(place, texts) for place in choice["logprobs"]["top_logprobs"]),
    )


def _place(likeliest: Mapping[str, float], texts: Sequence[str]) -> PlaceLogprobs:
    """Log-probabilities at one place of a completion, by ``token_id:N``; they come without ranks.

    Args:
        likeliest: the sampled token's, then the likeliest.
        texts: of all tokens; an id above them has none.
    """
    found = {int(name.removeprefix("token_id:")): logprob for name, logprob in likeliest.items()}
    return {
        token: TokenLogprob(logprob, None, texts[token] if token < len(texts) else "")
        for token, logprob in found.items()
    }


def _prompt_logprobs(reply: dict[str, Any]) -> tuple[PlaceLogprobs | None, ...]:
    """Log-probabilities at each place of a prompt; None at the first, which follows nothing."""
    return tuple(
        place
        and {
            int(token): TokenLogprob(one["logprob"], one["rank"], one["decoded_token"] or "")
            for token, one in place.items()
        }
        for place in reply["choices"][0]["prompt_logprobs"]
    )
