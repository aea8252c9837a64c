"""What every contender runs, and how its work is counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from allocator.plan import Plan
from benchmarks.testbed.task import distinct_problems
from runtime.engines.base import Completion, Engine
from runtime.verifiers.base import Context, Verdict, Verifier

PROMPTS, PROMPT_SEED = 64, 3  # held-out test prompts
BEAMS = Plan(strategy="beam_search", n=16, beam_width=4)
SAMPLES = Plan(strategy="best_of_n", n=16)


def held_out_prompts() -> list[tuple[str, str]]:
    """(prompt, right answer) pairs that no model was trained on."""
    return [(p.text, p.answer) for p in distinct_problems("test", PROMPTS, PROMPT_SEED)]


@dataclass
class Work:
    """What one run of a contender did.

    Attributes:
        seconds: wall time.
        correct: whether each prompt was answered right.
        sampled_tokens: tokens the language model sampled.
        cached_tokens: prompt tokens it took from its cache.
        prompt_tokens: prompt tokens it was given.
        verifier_tokens: tokens the verifier ran over.
        verifier_passes: its forward passes.
        verifier_texts: texts in these.
        engine_calls: requests to the engine.
    """

    seconds: float = 0.0
    correct: list[bool] = field(default_factory=list)
    sampled_tokens: int = 0
    cached_tokens: int = 0
    prompt_tokens: int = 0
    verifier_tokens: int = 0
    verifier_passes: int = 0
    verifier_texts: int = 0
    engine_calls: int = 0


class CountingEngine:
    """An engine that counts what passes through it."""

    def __init__(self, engine: Engine, work: Work) -> None:
        self._engine, self._work = engine, work
        self.tokenizer, self.context_length = engine.tokenizer, engine.context_length

    async def complete(self, token_ids: Sequence[int], **how: Any) -> Completion:
        """See `runtime.engines.base.Engine.complete`."""
        completion = await self._engine.complete(token_ids, **how)
        self._work.engine_calls += 1
        self._work.prompt_tokens += len(token_ids)
        self._work.sampled_tokens += len(completion.token_ids)
        self._work.cached_tokens += completion.cached_tokens
        return completion

    def close(self) -> None:
        """Nothing: the caller that opened the engine closes it."""


class CountingVerifier:
    """A verifier that counts what passes through it."""

    def __init__(self, verifier: Verifier, work: Work) -> None:
        self._verifier, self._work = verifier, work

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """See `runtime.verifiers.base.Verifier.score`."""
        verdict = await self._verifier.score(context, steps)
        self._work.verifier_tokens += verdict.processed_tokens
        return verdict

    def close(self) -> None:
        """Nothing: the caller that opened the verifier closes it."""


class NoVerifier:
    """Scores everything alike, at no cost: what is left is the scheduler and the engine."""

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """See `runtime.verifiers.base.Verifier.score`."""
        return Verdict((0.5,) * len(steps), 0, 0)

    def close(self) -> None:
        """Nothing to release."""
