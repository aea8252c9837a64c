"""Sampling a pool of independent solutions."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.testbed.tree_engine import TreeEngine
from calibration.sampling.collect import PROMPTS_IN_FLIGHT, PromptRecord, Run
from runtime.engines.concurrency import bounded
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings


async def draw(
    models: Models,
    settings: RequestSettings,
    engine: TreeEngine,
    prompts: Sequence[tuple[str, str]],
    done: Callable[[PromptRecord], None] = lambda _: None,
) -> list[PromptRecord]:
    """Sample independent solutions of every prompt.

    Equal answers must be equal strings already, as the testbed's are.

    Args:
        models: the models; their own engine is not used.
        settings: how solutions are sampled.
        engine: draws the solutions.
        prompts: (prompt, gold answer) pairs.
        done: called with each complete record.
    """
    trees = replace(models, engine=engine)

    async def one(item: tuple[str, str]) -> PromptRecord:
        prompt, gold = item
        run = PromptRun(trees, settings, prompt, engine.seed)
        places = await engine.places(run.context.token_ids, run.max_tokens)
        distinct = await run.samples(0, int(places.max()) + 1)
        samples = tuple(distinct[place] for place in places)
        correct = tuple(sample.answer == gold for sample in samples)
        tokens = sum(sample.tokens for sample in samples)
        drawn = Run(samples, correct, tokens, 0.0, engine.seed)
        return PromptRecord(prompt, gold, len(run.context.token_ids), drawn, {})

    return await bounded(one, prompts, PROMPTS_IN_FLIGHT, done)
