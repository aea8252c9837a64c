"""A language model behind an OpenAI-compatible server: one `vllm serve`, or several replicas of it.

Prompts go out as token ids and come back as token ids (vLLM's ``return_token_ids``), so search is
the same as in process. Requests of one prompt go to the same replica (`runtime.engines.servers`);
those of one moment go together.
"""

import json
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from allocator.errors import ModelError
from runtime.engines.base import Completion, SamplingSettings
from runtime.engines.coalescer import CompletionRequest, RequestCoalescer
from runtime.engines.constraint import Constraint
from runtime.engines.servers import RefusedError, Servers

# Requests that a server runs at once at most, for it does not tell: vLLM's default on large GPUs.
# A server that runs fewer has the others wait.
SEQUENCES = 1024
# What `vllm serve` would otherwise fill in from the model's generation_config.json, or from how
# it was started: off, as in process.
NEUTRAL = {
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "min_tokens": 0,
    "ignore_eos": False,
    "watermarking": False,
}


class OpenAIEngine:
    """A language model behind one or more `vllm serve`.

    Args:
        urls: where the replicas are, as ``http://host:8000``.
        model: the model's folder, for its tokenizer.
        served: the name it is served under; of the servers, those that serve it are used. None
            takes the one model that all servers serve.

    Attributes:
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
        self._grouping = RequestCoalescer(self._send)

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
    ) -> Completion:
        """Sample one continuation; see `runtime.engines.base.Engine.complete`.

        Calls of one moment go together, and come back together; see `runtime.engines.coalescer`.
        Busy and failing servers are tried again; see `runtime.engines.servers.Servers.post`.

        Raises:
            ConstraintError: the server refuses the constraint, which it alone checks.
        """
        ends = tuple(stop_token_ids)
        request = CompletionRequest(
            tuple(token_ids), settings, max_tokens, tuple(stop), ends, logprob, constraint
        )
        return await self._grouping.complete(request, seed)

    async def _send(self, request: CompletionRequest, seed: int, n: int) -> list[Completion]:
        """Completions under n seeds, the given one and those after it."""
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
            "logprobs": 0 if request.logprob else None,
            "return_token_ids": True,
        } | NEUTRAL
        if request.constraint is not None:
            body["structured_outputs"] = request.constraint.fields
        ids = request.token_ids
        try:
            place, reply = await self._servers.post("v1/completions", body, ids, choices=n)
        except RefusedError as refused:
            if request.constraint is None:
                raise
            raise request.constraint.refused(refused.what) from refused
        found = _completions(reply, request, n)
        self._servers.replicas.answered(place, ids, [c.token_ids for c in found])
        return found

    def check_constraint(self, constraint: Constraint) -> None:
        """See `runtime.engines.constraint.HasConstraints`; only a request shows it."""

    def capacity(self, tokens: int) -> int | None:
        """See `runtime.engines.base.HasCapacity`."""
        room = self._servers.kv_tokens
        return None if room is None else min(SEQUENCES, room // tokens)

    @property
    def replicas(self) -> int:
        """See `runtime.engines.base.HasReplicas`."""
        return len(self._servers.replicas)

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


def _completions(text: str, request: CompletionRequest, n: int) -> list[Completion]:
    """A server's reply as n completions, in the order of their seeds."""
    try:
        reply = json.loads(text)
        choices = {choice["index"]: choice for choice in reply["choices"]}
        details = (reply.get("usage") or {}).get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens") or 0
        return [_completion(choices[index], cached, request) for index in range(n)]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "engine",
            f"a reply without vllm serve's fields ({type(error).__name__} {error}): {text[:300]}",
        ) from error


def _completion(
    choice: dict[str, Any], cached_tokens: int, request: CompletionRequest
) -> Completion:
    reason = choice.get("stop_reason")
    stopped_by = reason if isinstance(reason, str) else None
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
        cached_tokens=cached_tokens,
        stopped_by=stopped_by,
    )
