"""The contenders: each searches the same prompts on engines of its own."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from allocator.plan import Plan
from benchmarks.simulator.engine import VirtualEngine
from benchmarks.simulator.models import Engines, models_of
from benchmarks.simulator.solutions import UNIQUE
from runtime.concurrency import bounded
from runtime.engines.base import SamplingSettings, derive_seed
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.solving.solve import prompts_in_flight
from runtime.strategies import STRATEGIES

SAMPLING = SamplingSettings(temperature=0.8, max_tokens=2048, step_end="\n")
SEED = 0

# Takes engines, how many prompts there are, and the plan of each.
Contender = Callable[..., Coroutine[Any, Any, None]]


async def ours(
    engines: Engines,
    prompts: int,
    plan: Plan,
    in_flight: int | None = None,
    in_order: bool = False,
    scored: bool = True,
    settings: SamplingSettings = SAMPLING,
) -> None:
    """This library's scheduler, strategies and verifier.

    Args:
        engines: where it runs.
        prompts: how many.
        plan: of every prompt.
        in_flight: prompts in progress at the same time; None takes the library's own.
        in_order: whether engines serve waiting requests of earlier prompts first.
        scored: whether solutions are scored; without, what is left is sampling.
        settings: how solutions are sampled.
    """
    models = models_of(engines, in_order, scored)

    async def one(number: int) -> None:
        run = PromptRun(models, RequestSettings(settings), str(number), SEED)
        await STRATEGIES[plan.strategy](run, plan, ())

    most = in_flight or prompts_in_flight(models.engine, plan.n, settings.max_tokens)
    await bounded(one, range(prompts), most)


@dataclass
class Draft:
    """A beam of a rival: a prompt with a solution so far."""

    text: tuple[int, ...]
    tokens: int = 0
    ended: bool = False
    score: float = 0.0


@dataclass
class Rival:
    """What the rivals have in common: a card's engines, and a verifier that reads whole texts.

    Attributes:
        engines: of all cards.
        card: number of the one that is used.
        whole: whether every text is scored from its start, or only what was not cached.
        settings: how solutions are sampled.
        draws: so far, each of which has a seed of its own.
    """

    engines: Engines
    card: int
    whole: bool
    settings: SamplingSettings
    draws: int = field(default=0)

    def begin(self, prompt: int) -> Draft:
        """A beam without a step."""
        return Draft(tuple(self.engines.tokenizer.encode(str(prompt))))

    async def extend(self, beams: Sequence[Draft]) -> list[Draft]:
        """The beams with a step more; returned when the last of them has it."""
        return await asyncio.gather(*(self._extend(beam) for beam in beams))

    async def _extend(self, beam: Draft) -> Draft:
        self.draws += 1
        left = self.settings.max_tokens - beam.tokens
        seed = derive_seed(SEED, self.card, self.draws)
        found = await self.engines.write(self.card, beam.text, seed, left, True, 0)
        tokens = beam.tokens + len(found.token_ids)
        ended = found.ended or tokens >= self.settings.max_tokens
        return Draft(beam.text + found.token_ids, tokens, ended)

    async def score(self, beams: Sequence[Draft]) -> None:
        """Score beams, all at once; equal texts are read once."""
        engine: VirtualEngine = self.engines.verifiers[self.card]
        texts = dict.fromkeys(beam.text for beam in beams)
        await asyncio.gather(*(engine.run(text, (), cached=not self.whole) for text in texts))
        for beam in beams:
            beam.score = self.engines.writer.score(beam.text)


async def lockstep(
    engines: Engines,
    prompts: int,
    plan: Plan,
    whole: bool = True,
    settings: SamplingSettings = SAMPLING,
) -> None:
    """Beam search round by round: all beams of a card's prompts are sampled, then all are scored.

    Every card has its share of the prompts, as the strongest public design would have it.

    Args:
        engines: where it runs.
        prompts: how many.
        plan: beam search, of every prompt.
        whole: whether the verifier reads every text from its start.
        settings: how solutions are sampled.
    """

    async def shard(card: int) -> None:
        rival = Rival(engines, card, whole, settings)
        living = {
            prompt: [rival.begin(prompt)] * plan.n
            for prompt in range(card, prompts, engines.site.cards)
        }
        finished = dict.fromkeys(living, 0)
        for _ in range(settings.max_steps):
            if not any(living.values()):
                return
            grown = await rival.extend([beam for beams in living.values() for beam in beams])
            await rival.score(grown)
            candidates: dict[int, list[Draft]] = {prompt: [] for prompt in living}
            for beam in grown:
                prompt = beam.text[0] - UNIQUE
                finished[prompt] += beam.ended
                if not beam.ended:
                    candidates[prompt].append(beam)
            for prompt, ranked in candidates.items():
                ranked.sort(key=lambda beam: -beam.score)
                kept = ranked[: -(-len(ranked) // plan.beam_width)]
                left = plan.n - finished[prompt] if kept else 0
                living[prompt] = [kept[i * len(kept) // left] for i in range(left)]

    await asyncio.gather(*(shard(card) for card in range(engines.site.cards)))


async def its_hub(
    engines: Engines,
    prompts: int,
    plan: Plan,
    whole: bool = True,
    settings: SamplingSettings = SAMPLING,
) -> None:
    """its_hub's way: all prompts at once, each in rounds of its own.

    A round samples a step of every beam, then scores them all, and keeps the best N/M, finished
    ones among them, M times each; the first round has M beams. A prompt is done when all that are
    kept are finished (its_hub 1.2, its_hub/core/algorithms/beam_search.py).

    Args:
        engines: where it runs; every card has its share of the prompts.
        prompts: how many.
        plan: beam search, of every prompt.
        whole: whether the verifier reads every text from its start.
        settings: how solutions are sampled.
    """
    rivals = [Rival(engines, card, whole, settings) for card in range(engines.site.cards)]

    async def one(prompt: int) -> None:
        rival = rivals[prompt % len(rivals)]
        beams = [rival.begin(prompt)] * plan.beam_width
        for _ in range(settings.max_steps):
            if all(beam.ended for beam in beams):
                return
            done = [beam for beam in beams if beam.ended]
            grown = await rival.extend([beam for beam in beams if not beam.ended])
            await rival.score(grown)
            ranked = sorted([*done, *grown], key=lambda beam: -beam.score)
            beams = ranked[: plan.n // plan.beam_width] * plan.beam_width

    await asyncio.gather(*(one(prompt) for prompt in range(prompts)))
