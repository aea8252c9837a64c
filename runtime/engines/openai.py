"""A language model behind an OpenAI-compatible server: one `vllm serve`, or several replicas of it.

Prompts go out as token ids and come back as token ids (vLLM's ``return_token_ids``), so search is
the same as in process. Requests of one prompt go to the same replica, whose prefix cache knows it
(`runtime.engines.replicas`); those of one moment go together.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from transformers import AutoTokenizer

from allocator.errors import InputError, ModelError
from runtime.engines.base import Completion, SamplingSettings
from runtime.engines.coalescer import CompletionRequest, RequestCoalescer
from runtime.engines.constraint import Constraint
from runtime.engines.replicas import Replicas

TRIES = 5
FIRST_WAIT = 0.25  # seconds before the second try; each further one waits twice as long
LONGEST_WAIT = 10.0
BUSY = (429, 500, 502, 503, 504)
CONNECTIONS = 1024
LOOK_SECONDS, LOOK_TIMEOUT = 5.0, 5.0  # between looks at the servers, and for each
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
        key = os.environ.get("OPENAI_API_KEY")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        roots = [url.rstrip("/").removesuffix("/v1") for url in urls]
        found = [(url, card) for url in roots for card in _cards(url, self._headers)]
        if served is not None:
            found = [(url, card) for url, card in found if _is(card["id"], served)]
        names = sorted({card["id"] for _, card in found})
        if len(names) != 1:
            raise InputError(
                "engine",
                ",".join(urls),
                f"they serve {names or 'nothing'} where {served or 'one model'} is wanted; start "
                "vllm serve with it, or with --served-model-name",
            )
        self._replicas, self._served = Replicas([url for url, _ in found]), names[0]
        self.context_length = min(int(card["max_model_len"]) for _, card in found)
        self._opened: aiohttp.ClientSession | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closed = False
        self._grouping = RequestCoalescer(self._send)
        self.resources = f"servers at {', '.join(url for url, _ in found)}"

    @property
    def _client(self) -> aiohttp.ClientSession:
        # Opened in the loop that uses it. httpx, which looks through all its connections whenever
        # one is freed, took minutes over the thousand requests that a search has under way.
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                trust_env=True,
            )
        return self._opened

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
        Busy and failing servers (status 429 and 5xx, lost connections) are tried again a bounded
        number of times, and so are the other replicas.

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
            "model": self._served,
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
        home = self._replicas.place(request.token_ids)
        wait, why = FIRST_WAIT, ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            if self._closed:
                raise ModelError("engine", "it was closed while it had work to do")
            place = home + attempt
            url = self._replicas.url(place)
            try:
                with self._replicas.asked(place, n):
                    reply = await self._post(url, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                why = f"{url}: {type(error).__name__} {error}"
            except _RefusedError as refused:
                if request.constraint is None:
                    raise
                raise request.constraint.refused(refused.what) from refused
            except _Busy as busy:
                why, wait = f"{url}: {busy}", busy.wait or wait
            else:
                found = _completions(reply, request, n)
                self._replicas.answered(place, request.token_ids, [c.token_ids for c in found])
                return found
        raise ModelError("engine", f"no answer in {TRIES} tries; the last: {why}")

    def check_constraint(self, constraint: Constraint) -> None:
        """See `runtime.engines.constraint.HasConstraints`; only a request shows it."""

    async def _post(self, url: str, body: dict[str, Any]) -> str:
        async with self._client.post(f"{url}/v1/completions", json=body) as reply:
            text = await reply.text()
            _check(url, reply.status, reply.headers, text)
            return text

    @property
    def replicas(self) -> int:
        """See `runtime.engines.base.HasReplicas`."""
        return len(self._replicas)

    @property
    def requests(self) -> int:
        """See `runtime.engines.base.HasRequests`."""
        return self._replicas.requests

    @property
    def alive(self) -> bool:
        """Whether any of the servers answers, as of the last look at them.

        Whoever asks has them looked at in the background, once every few seconds at most.
        """
        if not self._closed and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return self._replicas.alive

    async def _look(self) -> None:
        timeout = aiohttp.ClientTimeout(total=LOOK_TIMEOUT)

        async def one(place: int) -> None:
            try:
                url = f"{self._replicas.url(place)}/health"
                async with self._client.get(url, timeout=timeout) as reply:
                    self._replicas.looked_at(place, reply.status < 500)
            except (aiohttp.ClientError, TimeoutError):
                self._replicas.looked_at(place, answers=False)

        await asyncio.gather(*(one(place) for place in range(len(self._replicas))))
        await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        if self._opened is not None and not self._opened.closed:
            self._closing = asyncio.ensure_future(self._opened.close())


def _cards(url: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """A server's list of models."""
    try:
        reply = httpx.get(f"{url}/v1/models", headers=headers, timeout=10)
        reply.raise_for_status()
        cards = [card for card in reply.json()["data"] if card.get("max_model_len")]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise InputError(
            "engine", url, f"no OpenAI-compatible server answers there ({error})"
        ) from None
    return cards


def _is(served: str, wanted: str) -> bool:
    """Whether two names, of which either may be a path, are of the same model."""
    return served == wanted or Path(served).name == Path(wanted).name


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


class _RefusedError(ModelError):
    """A request that a server refuses, whatever it is for."""


class _Busy(Exception):
    """An error after which a retry may succeed; `wait` is the delay in seconds it requested."""

    def __init__(self, what: str, wait: float | None) -> None:
        super().__init__(what)
        self.wait = wait


def _check(url: str, status: int, headers: Mapping[str, str], text: str) -> None:
    if status in BUSY:
        asked = headers.get("Retry-After", "")
        wait = min(float(asked), LONGEST_WAIT) if asked.replace(".", "", 1).isdecimal() else None
        raise _Busy(f"status {status}", wait)
    if status != 200:
        raise _RefusedError("engine", f"{url} refused the request ({status}): {text[:300]}")
