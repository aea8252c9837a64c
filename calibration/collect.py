"""Sampling a data set: for every prompt, independent solutions and the runs of every beam search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.answers import unify
from runtime.concurrency import bounded
from runtime.engine import encode_prompt
from runtime.prompt_run import Cost, Decoder, PromptRun
from runtime.strategies import STRATEGIES

PROMPTS_IN_FLIGHT = 32


@dataclass(frozen=True)
class Run:
    """What one plan produced on one prompt: its final samples and what they cost."""

    samples: tuple[Sample, ...]
    correct: tuple[bool, ...]
    sampled_tokens: int


@dataclass(frozen=True)
class PromptRecord:
    """Everything sampled of one graded prompt.

    Attributes:
        prompt: its text.
        gold: the right answer.
        prompt_tokens: its length.
        independent: independent solutions; their order is the order they were drawn in.
        searches: the finished beams of each beam search plan.
    """

    prompt: str
    gold: str
    prompt_tokens: int
    independent: Run
    searches: dict[Plan, Run]

    @property
    def pass_at_1(self) -> float:
        """Oracle difficulty: share of independent solutions that are correct."""
        return sum(self.independent.correct) / len(self.independent.correct)


async def collect(
    decoder: Decoder,
    prompts: Sequence[tuple[str, str]],
    samples: int,
    searches: Sequence[Plan],
    seed: int,
    done: Callable[[PromptRecord], None] = lambda _: None,
) -> list[PromptRecord]:
    """Sample every prompt.

    Args:
        decoder: models and settings.
        prompts: (prompt, gold answer) pairs.
        samples: independent solutions a prompt.
        searches: beam search plans to run on every prompt.
        seed: seed of all sampling.
        done: called with each record as it is complete.

    Raises:
        InputError: a prompt that is empty or does not fit the context, before anything is
            sampled; or a verifier that returns NaN.
    """
    for prompt, _ in prompts:
        encode_prompt(decoder.engine, prompt)
    everything = [Plan(strategy="best_of_n", n=samples), *searches]

    async def one(item: tuple[str, str]) -> PromptRecord:
        prompt, gold = item
        prompt_ids = encode_prompt(decoder.engine, prompt)
        found: list[tuple[list[Sample], Cost]] = []
        for plan in everything:
            run = PromptRun(decoder, prompt_ids, seed)
            found.append((await STRATEGIES[plan.strategy](run, plan, ()), run.cost))
        # Answers are unified over all plans together, so that pilots can vote beside any beams.
        drawn = [s for samples_, _ in found for s in samples_]
        names = iter(unify(decoder.answers, [gold, *(s.answer for s in drawn)])[1:])
        runs = []
        for samples_, cost in found:
            named = tuple(s.with_answer(next(names)) for s in samples_)
            correct = tuple(s.answer == gold for s in named)
            runs.append(Run(named, correct, cost.sampled_tokens))
        return PromptRecord(
            prompt, gold, len(prompt_ids), runs[0], dict(zip(searches, runs[1:], strict=True))
        )

    return await bounded(one, prompts, PROMPTS_IN_FLIGHT, done)
