"""The models of a simulation, as this library's scheduler and its rivals take them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.simulator.engine import Card, VirtualEngine
from benchmarks.simulator.solutions import (
    PROMPT_TOKENS,
    UNIQUE,
    Lengths,
    RandomWriter,
    Tokenizer,
    Writer,
)
from benchmarks.simulator.times import EngineShape
from runtime.answers import PatternAnswers
from runtime.engines.base import Completion, SamplingSettings
from runtime.engines.coalescer import EngineRequest, RequestCoalescer
from runtime.engines.replicas import Replicas
from runtime.engines.steps import StepSplitter
from runtime.models import Models
from runtime.verifiers.base import Context
from runtime.verifiers.constant import NoVerifier
from runtime.verifiers.layout import Layout
from runtime.verifiers.model_verifier import ModelVerifier
from runtime.verifiers.pacing import ReadPacer

WRITER = RandomWriter(Lengths())


@dataclass(frozen=True)
class Site:
    """Where a simulation runs.

    Attributes:
        policy: how the language model's engines are set up.
        verifier: how the verifier's are.
        cards: GPUs; each has an engine of either, which share it.
        writer: the language model and the verifier.
        prompt_tokens: of a prompt.
        paced: whether the verifier's reads are paced, as those of vLLM's engines are.
        knows_blocks: whether the verifier knows beginnings of texts by their blocks, as vLLM does;
            else it knows those that were texts, as `runtime.verifiers.in_transformers` does.
        shared_speed: see `benchmarks.simulator.engine.Card`.
    """

    policy: EngineShape
    verifier: EngineShape
    cards: int = 1
    writer: Writer = WRITER
    prompt_tokens: int = PROMPT_TOKENS
    paced: bool = True
    knows_blocks: bool = True
    shared_speed: float | None = None


class Engines:
    """The engines of a site, ready.

    Args:
        site: how they are set up.

    Attributes:
        policies: the language model's, one per card.
        verifiers: the verifier's, likewise.
    """

    def __init__(self, site: Site) -> None:
        self.site, self.writer = site, site.writer
        self.tokenizer = Tokenizer(site.prompt_tokens)
        self.cards = [Card(site.shared_speed) for _ in range(site.cards)]
        self.policies = [VirtualEngine(site.policy, card) for card in self.cards]
        self.verifiers = [VirtualEngine(site.verifier, card) for card in self.cards]

    async def write(
        self,
        card: int,
        token_ids: Sequence[int],
        seed: int,
        max_tokens: int,
        one_step: bool,
        rank: int,
    ) -> Completion:
        """What the language model of a card writes after a text."""
        written, ended = self.writer.write(token_ids, seed, max_tokens, one_step)
        cached = await self.policies[card].run(token_ids, written, rank)
        stopped = one_step and not ended and len(written) < max_tokens
        return Completion(
            token_ids=tuple(written),
            logprob=-float(len(written)),
            ended=ended,
            cached_tokens=cached,
            stopped_by="\n" if stopped else None,
        )


class SimulatedEngine:
    """The language model behind servers, one per card, as `runtime.engines.openai` reaches them.

    Simultaneous draws go as one request of several choices, and to the server that knows the text.

    Args:
        engines: the engines.
        in_order: whether they serve waiting requests of earlier prompts first.
    """

    context_length = 8192

    def __init__(self, engines: Engines, in_order: bool = False) -> None:
        self.tokenizer: Any = engines.tokenizer
        self._engines, self._in_order = engines, in_order
        self._replicas = Replicas([str(card) for card in range(len(engines.policies))])
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
    ) -> Completion:
        """See `runtime.engines.base.Engine.complete`."""
        request = EngineRequest(
            tuple(token_ids), settings, max_tokens, tuple(stop), tuple(stop_token_ids), logprob
        )
        if len(self._engines.policies) == 1:  # in this process: every draw is a request
            (completion,) = await self._send(request, seed, 1)
            return completion
        return await self._coalescer.complete(request, seed)

    async def _send(self, request: EngineRequest, seed: int, n: int) -> list[Completion]:
        ids, rank = request.token_ids, request.token_ids[0] - UNIQUE if self._in_order else 0
        card = self._replicas.place(ids)
        one_step = bool(request.stop)
        with self._replicas.busy(card, n):
            found = await asyncio.gather(
                *(
                    self._engines.write(card, ids, seed + i, request.max_tokens, one_step, rank)
                    for i in range(n)
                )
            )
        self._replicas.note_cached(card, ids, [completion.token_ids for completion in found])
        return found

    def capacity(self, tokens: int) -> int:
        """See `runtime.engines.base.HasCapacity`."""
        shape = self._engines.site.policy
        return min(shape.max_sequences, shape.kv_tokens // tokens)

    @property
    def requests(self) -> int:
        """See `runtime.engines.base.HasRequests`."""
        return self._replicas.requests

    @property
    def replicas(self) -> int:
        """See `runtime.engines.base.HasReplicas`."""
        return len(self._replicas)

    def close(self) -> None:
        """There is nothing to release."""


class SharedTokens:
    """A verifier's family that reads the language model's own tokens, at every step's end."""

    shares_tokens = True

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        """See `runtime.verifiers.layout.Family.format_input`."""
        ids, places = list(context.token_ids), []
        for step in steps:
            ids += step
            places.append(len(ids) - 1)
        return Layout(tuple(ids), tuple(places), len(context.token_ids))

    def known_solutions(self) -> None:
        """There is no vocabulary in which to tell right from wrong."""


class SimulatedBackend:
    """A verifier's engines, as `runtime.verifiers.in_vllm` reads them.

    Args:
        engines: the engines; all texts of a prompt go to one of them.
        in_order: whether they serve waiting requests of earlier prompts first.
    """

    context_length, resources = None, "simulated"

    def __init__(self, engines: Engines, in_order: bool = False) -> None:
        self._engines, self._in_order = engines, in_order
        self._pacers = [ReadPacer() for _ in engines.verifiers] if engines.site.paced else []
        self._read_before: set[tuple[int, ...]] = set()
        # Equal texts at once are read once, as `runtime.verifiers.in_transformers` does.
        self._reading: dict[Layout, asyncio.Future[tuple[tuple[float, ...], int]]] = {}

    async def read(self, layout: Layout) -> tuple[tuple[float, ...], int]:
        """See `runtime.verifiers.model_verifier.Backend.read`."""
        if (reading := self._reading.get(layout)) is not None:
            return (await asyncio.shield(reading))[0], 0
        task = self._reading[layout] = asyncio.ensure_future(self._read(layout))
        try:
            return await task
        finally:
            del self._reading[layout]

    async def _read(self, layout: Layout) -> tuple[tuple[float, ...], int]:
        text = layout.token_ids
        number = text[0] - UNIQUE
        card = number % len(self._engines.verifiers)
        engine = self._engines.verifiers[card]
        rank = number if self._in_order else 0
        scores = tuple(
            self._engines.writer.score(text[: place + 1]) for place in layout.score_positions
        )
        if not self._engines.site.knows_blocks:
            new = text[self._known_before(layout) :]
            await engine.run(new, (), rank, cached=False)
            self._read_before.add(text)
            return scores, len(new)
        run = partial(engine.run, text, (), rank)
        first = await (self._pacers[card].read(run) if self._pacers else run())
        run_over = len(text) - first
        if layout.score_positions[0] < first:  # it was scored before, and has been forgotten
            await engine.run(text, (), rank, cached=False)
            run_over += len(text)
        return scores, run_over

    def _known_before(self, layout: Layout) -> int:
        """Tokens of the longest text that was read, and is a beginning of this one's context."""
        text, first = layout.token_ids, layout.score_positions[0]
        return next((n for n in range(first, 0, -1) if text[:n] in self._read_before), 0)

    def close(self) -> None:
        """There is nothing to release."""


def models_of(engines: Engines, in_order: bool = False, scored: bool = True) -> Models:
    """What a prompt's run takes.

    Args:
        engines: the engines.
        in_order: whether earlier prompts are served first.
        scored: whether there is a verifier.
    """
    backend = SimulatedBackend(engines, in_order)
    verifier = ModelVerifier(SharedTokens(), backend, "simulated")  # type: ignore[arg-type]
    return Models(
        engine=SimulatedEngine(engines, in_order),
        verifier=verifier if scored else NoVerifier(),
        answers=PatternAnswers(r"#(\d+)"),
        splitter=StepSplitter(engines.tokenizer, "\n"),
        thoughts=(),
    )
