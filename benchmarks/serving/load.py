"""Many clients at once, each with one request after the other, each answer checked."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

CLIENTS = 64
TIMEOUT = 120.0


@dataclass
class Load:
    """Results of a load.

    Attributes:
        sent: requests sent.
        seconds: how long each answered request took.
        texts: all answers to each prompt.
        ids: number of occurrences of each reply's id.
        errors: number of refusals and failures of each kind.
        lasted: seconds from the first request to the last answer.
    """

    sent: int = 0
    seconds: list[float] = field(default_factory=list)
    texts: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)
    ids: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    lasted: float = 0.0

    @property
    def answered(self) -> int:
        """Requests that got an answer."""
        return len(self.seconds)

    @property
    def lost(self) -> int:
        """Requests that got neither an answer nor an error."""
        return self.sent - self.answered - self.errors.total()

    @property
    def duplicated(self) -> int:
        """Replies that came more than once."""
        return sum(count - 1 for count in self.ids.values())

    def unlike(self, other: "Load") -> int:
        """Answers unlike those that another load got to the same prompts, crossed ones among them.

        A prompt gets the same answer whatever else runs: its seed is fixed.
        """
        return sum(
            count
            for asked, texts in self.texts.items()
            for text, count in texts.items()
            if text not in other.texts.get(asked, {})
        )


def body(prompt: str, budget: int | None, max_tokens: int) -> dict[str, Any]:
    """A chat request; without a budget, as `vllm serve` takes it."""
    found: dict[str, Any] = {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "seed": 0,
    }
    return found if budget is None else found | {"ttc": {"budget": budget}}


async def loaded(
    url: str,
    model: str,
    prompts: Sequence[str],
    budgets: Sequence[int | None],
    max_tokens: int,
    seconds: float | None = None,
    clients: int = CLIENTS,
    watch: Callable[[], None] = lambda: None,
) -> Load:
    """Put a load on a server.

    Args:
        url: the server.
        model: its name there.
        prompts: asked one after the other, again and again.
        budgets: likewise; None sends none.
        max_tokens: the longest solution.
        seconds: seconds until no more is requested; None requests every prompt with every budget
            once.
        clients: at once; each waits for its answer before it asks again.
        watch: called about once a second.
    """
    load = Load()
    asked = [(prompt, budget) for budget in budgets for prompt in prompts]
    source = iter(asked) if seconds is None else itertools.cycle(asked)

    def going_on() -> bool:
        return seconds is None or time.perf_counter() - started < seconds

    async def one_client(client: httpx.AsyncClient) -> None:
        while going_on() and (entry := next(source, None)) is not None:
            await ask(client, model, *entry, max_tokens, load)

    async def watching() -> None:
        while True:
            watch()
            await asyncio.sleep(1)

    async with AsyncExitStack() as stack:
        # One connection pool per client: from a shared one some would wait for seconds.
        # Loopback needs no certificates, which are slow to load.
        each = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=TIMEOUT, verify=False)
            )
            for _ in range(clients)
        ]
        watcher = asyncio.create_task(watching())
        started = time.perf_counter()
        await asyncio.gather(*map(one_client, each))
        load.lasted = time.perf_counter() - started
        watcher.cancel()
    return load


async def ask(
    client: httpx.AsyncClient,
    model: str,
    prompt: str,
    budget: int | None,
    max_tokens: int,
    load: Load,
) -> None:
    """Send one request and record its result."""
    load.sent += 1
    begun = time.perf_counter()
    try:
        reply = await client.post(
            "/v1/chat/completions", json=body(prompt, budget, max_tokens) | {"model": model}
        )
    except httpx.HTTPError as error:
        load.errors[type(error).__name__] += 1
        return
    if reply.status_code != 200:
        load.errors[f"status {reply.status_code}: {reply.text[:200]}"] += 1
        return
    completion = reply.json()
    load.seconds.append(time.perf_counter() - begun)
    load.ids[completion["id"]] += 1
    text = completion["choices"][0]["message"]["content"]
    load.texts.setdefault((prompt, budget or 0), Counter())[text] += 1
