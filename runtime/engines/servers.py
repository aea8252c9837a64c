"""A model behind one or more servers: found by its name, called with retries, checked, closed.

Requests of one text go to the same replica, whose prefix cache knows it
(`runtime.engines.replicas`); busy and failing ones give way to the next.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import httpx
from prometheus_client.parser import text_string_to_metric_families

from allocator.errors import InputError, ModelError
from runtime.engines.replicas import Replicas

TRIES = 5
FIRST_WAIT = 0.25  # seconds before the second try; each further one waits twice as long
LONGEST_WAIT = 10.0
BUSY = (429, 500, 502, 503, 504)
CONNECTIONS = 1024
PROBE_SECONDS, PROBE_TIMEOUT = 5.0, 5.0  # between health checks of the servers, and for each
OPENING_TIMEOUT = 60.0  # seconds; the first request warms a server up
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)  # raised by `_read_cards`

LOGGER = logging.getLogger("ttc.servers")

Read = TypeVar("Read")


class Servers:
    """The servers of one model, such as `vllm serve`.

    A key for them is read from the environment variable OPENAI_API_KEY. Errors do not say which
    server failed, for clients read them; the log does.

    Args:
        field: what they are in messages.
        urls: where the replicas are, as ``http://host:8000``.
        served: the name the model is served under; of the servers, those that serve it are used.
            None takes the one model that all servers serve. Servers that do not answer are used
            once they do, if they serve the model then.

    Attributes:
        replicas: which of them a request goes to.
        context_length: tokens that all of them read.
        kv_tokens: tokens that the smallest of their KV caches holds; None where none of them tells.
        resources: where they are, in words.

    Raises:
        InputError: no server can be reached, or none serves the model.
    """

    def __init__(self, field: str, urls: Sequence[str], served: str | None = None) -> None:
        key = os.environ.get("OPENAI_API_KEY")
        self._field, self._headers = field, {"Authorization": f"Bearer {key}"} if key else {}
        roots = [url.rstrip("/").removesuffix("/v1") for url in urls]
        cards = self._cards(roots)
        found = [(url, card) for url in roots for card in cards.get(url, ())]
        if served is not None:
            found = [(url, card) for url, card in found if _is(card["id"], served)]
        names = sorted({card["id"] for _, card in found})
        if len(names) != 1:
            raise InputError(
                field,
                ",".join(urls),
                f"they serve {names or 'nothing'} where {served or 'one model'} is wanted; start "
                "vllm serve with it, or with --served-model-name",
            )
        self._answering, self._served = [url for url, _ in found], names[0]
        unreachable = [url for url in roots if url not in cards]
        self.replicas = Replicas([*self._answering, *unreachable], unreachable)
        self.context_length = min(int(card["max_model_len"]) for _, card in found)
        rooms = [self._kv_tokens(url) for url in self._answering]
        self.kv_tokens = min((room for room in rooms if room is not None), default=None)
        self.resources = f"servers at {', '.join(self._answering)}"
        self._opened: aiohttp.ClientSession | None = None
        self._probing: asyncio.Task[None] | None = None
        self._waiting: list[set[asyncio.Timeout]] = [set() for _ in range(len(self.replicas))]
        self._closed = False

    def _cards(self, urls: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The lists of models of those servers that answer.

        Raises:
            InputError: none does.
        """
        found, unreachable = {}, {}
        for url in urls:
            try:
                reply = httpx.get(f"{url}/v1/models", headers=self._headers, timeout=10)
                reply.raise_for_status()
                found[url] = _read_cards(reply.content)
            except (httpx.HTTPError, *UNREADABLE) as error:
                unreachable[url] = f"no OpenAI-compatible server answers there ({error})"
        if not found:
            raise InputError(self._field, ",".join(urls), "; ".join(unreachable.values()))
        for url, why in unreachable.items():
            LOGGER.warning("%s: %s: %s; the others go on without it", self._field, url, why)
        return found

    def _kv_tokens(self, url: str) -> int | None:
        """Tokens that a server's KV cache holds, from vLLM's metrics; None without those."""
        try:
            text = httpx.get(f"{url}/metrics", headers=self._headers, timeout=10).text
            return min(
                int(sample.labels["kv_cache_size_tokens"])
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "vllm:cache_config_info"
            )
        except (httpx.HTTPError, ValueError, KeyError):
            return None

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

    def each(self, path: str, body: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
        """Send a request to every server, once, while they are opened: URL, status and reply.

        Those that did not answer before are left out.

        Raises:
            InputError: a server that does not answer any more.
        """
        body = {"model": self._served} | body
        for url in self._answering:
            try:
                reply = httpx.post(
                    f"{url}/{path}", json=body, headers=self._headers, timeout=OPENING_TIMEOUT
                )
            except httpx.HTTPError as error:
                hint = f"the server does not answer ({type(error).__name__} {error})"
                raise InputError(self._field, url, hint) from None
            yield url, reply.status_code, reply.text

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        token_ids: Sequence[int],
        read: Callable[[str], Read],
        choices: int = 1,
    ) -> tuple[int, Read]:
        """Send a request to the server that knows a text best.

        Busy and failing servers (status 429 and 5xx, lost connections, health checks that fail) are
        tried again a bounded number of times, and so are the other replicas. What may have broken
        two of them is not tried on a third.

        Args:
            path: of the endpoint.
            body: the request; the model's name is added.
            token_ids: the text.
            read: reads a reply; raises `BusyError` where another server has to be tried.
            choices: requests that it counts as.

        Returns:
            The number of the server, for `Replicas.note_cached`, and what was read of its reply.

        Raises:
            RefusedError: the request is refused, or has broken two servers.
            ModelError: no server answers.
        """
        body = {"model": self._served} | body
        place, wait = self.replicas.place(token_ids), FIRST_WAIT
        tries, broken = 0, set[int]()
        while True:
            if self._closed:
                raise ModelError(self._field, "it was closed while it had work to do")
            self._watch()
            url = self.replicas.url(place)
            try:
                with self.replicas.busy(place, choices):
                    return place, read(await self._ask(place, f"{url}/{path}", body))
            except BusyError as busy:
                tries, wait = tries + 1, busy.wait or wait
                if busy.broken:
                    broken.add(place)
                if tries == TRIES or len(broken) == 2:
                    raise self._given_up(url, busy, broken) from busy
            await asyncio.sleep(wait)
            place, wait = self.replicas.after(place), min(2 * wait, LONGEST_WAIT)

    def _given_up(self, url: str, busy: "BusyError", broken: Collection[int]) -> ModelError:
        """The error of a request that is not tried again, after what the last server said."""
        LOGGER.warning("%s: %r", url, busy.__cause__ or busy)
        if len(broken) > 1 and self.replicas.alive:  # else the servers are unreachable
            return RefusedError(self._field, f"two servers failed on it; the last: {busy}", 500)
        return ModelError(self._field, f"no answer in {TRIES} tries; the last: {busy}")

    async def _ask(self, place: int, url: str, body: dict[str, Any]) -> str:
        """What one server answers.

        Raises:
            BusyError: another one has to be tried.
            RefusedError: the request is refused.
        """
        try:
            async with self._while_it_answers(place):
                return await self._send(url, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            # One that cannot be reached has not had the request.
            unreached = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
            broken = not isinstance(error, unreached)
            raise BusyError(type(error).__name__, broken=broken) from error

    async def _send(self, url: str, body: dict[str, Any]) -> str:
        async with self._client.post(url, json=body) as reply:
            text = await reply.text()
            if reply.status in BUSY:
                why, wait = f"status {reply.status}", _wait(reply.headers)
                raise BusyError(why, wait, broken=reply.status == 500)
            if reply.status != 200:
                LOGGER.warning("%s refused a request (%d): %s", url, reply.status, text[:300])
                what = f"a server refused the request ({reply.status}): {text[:300]}"
                raise RefusedError(self._field, what, reply.status)
            return text

    @property
    def alive(self) -> bool:
        """Whether any of the servers answers, as of the last health checks.

        Reading it starts health checks in the background, once every few seconds at most.
        """
        self._watch()
        return self.replicas.alive

    def _watch(self) -> None:
        """Check the servers' health in the background: once, and while they have requests."""
        if not self._closed and (self._probing is None or self._probing.done()):
            self._probing = asyncio.get_running_loop().create_task(self._probe_all())

    async def _probe_all(self) -> None:
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT)
        # Connections of its own: requests may hold, and wait for, all of the others.
        async with aiohttp.ClientSession(
            headers=self._headers, timeout=timeout, trust_env=True
        ) as client:
            while True:
                places = range(len(self.replicas))
                await asyncio.gather(*(self._probe(client, place) for place in places))
                await asyncio.sleep(PROBE_SECONDS)
                if not self.replicas.requests:
                    return

    async def _probe(self, client: aiohttp.ClientSession, place: int) -> None:
        try:
            answers = await self._is_healthy(client, place)
        except (aiohttp.ClientError, TimeoutError):
            answers = False
        self.replicas.note_probe(place, answers)
        if not self.replicas.answers(place):
            while self._waiting[place]:
                self._waiting[place].pop().reschedule(0)  # a time in the past: at once

    async def _is_healthy(self, client: aiohttp.ClientSession, place: int) -> bool:
        """Whether a server is healthy and, if it was unreachable, serves the model."""
        url = self.replicas.url(place)
        async with client.get(f"{url}/health") as reply:
            if reply.status >= 500:
                return False
        if self.replicas.answers(place):
            return True
        async with client.get(f"{url}/v1/models") as reply:
            return self._serves_model(await reply.read())

    def _serves_model(self, models: bytes) -> bool:
        """Whether a server with this list of models can be used in place of the others."""
        try:
            return any(
                card["id"] == self._served and card["max_model_len"] >= self.context_length
                for card in _read_cards(models)
            )
        except UNREADABLE:
            return False

    @asynccontextmanager
    async def _while_it_answers(self, place: int) -> AsyncIterator[None]:
        """A block in which TimeoutError is raised once a server is found not to answer.

        Requests themselves have no time limit: how long one takes, only the server knows.
        """
        async with asyncio.timeout(None) as timeout:
            self._waiting[place].add(timeout)
            try:
                yield
            finally:
                self._waiting[place].discard(timeout)

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
        if self._opened is not None and not self._opened.closed:
            self._closing = asyncio.ensure_future(self._opened.close())


def _read_cards(models: bytes) -> list[dict[str, Any]]:
    """A server's list of models, of those that read text."""
    return [card for card in json.loads(models)["data"] if card.get("max_model_len")]


def _is(served: str, wanted: str) -> bool:
    """Whether two names, of which either may be a path, are of the same model."""
    return served == wanted or Path(served).name == Path(wanted).name


class RefusedError(ModelError):
    """A request that no server will answer, however often it is sent.

    Args:
        model: what the servers are.
        what: what they say to it.
        status: HTTP status of their reply.
    """

    def __init__(self, model: str, what: str, status: int) -> None:
        super().__init__(model, what)
        self.status = status

    def __reduce__(self) -> tuple[type["RefusedError"], tuple[object, ...]]:
        return type(self), (self.model, self.what, self.status)


class BusyError(Exception):
    """An error after which a retry may succeed.

    Args:
        why: what went wrong.
        wait: seconds to wait before; None where the server does not say.
        broken: whether the request itself may have broken the server.
    """

    def __init__(self, why: str, wait: float | None = None, broken: bool = False) -> None:
        super().__init__(why)
        self.wait, self.broken = wait, broken


def _wait(headers: Mapping[str, str]) -> float | None:
    """The delay in seconds that a busy server requests."""
    requested = headers.get("Retry-After", "")
    decimal = requested.replace(".", "", 1).isdecimal()
    return min(float(requested), LONGEST_WAIT) if decimal else None
