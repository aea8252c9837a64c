"""Sampling a pool: independent solutions, or searches."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed

from allocator.plan import Plan
from benchmarks.testbed.tree_engine import TreeEngine
from calibration.progress import progress
from calibration.sampling.collect import PROMPTS_IN_FLIGHT, PlanRun, PromptRecord, Work, collect
from runtime.concurrency import bounded
from runtime.models import Models, open_models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.settings import Settings

PART = 50  # prompts that a process searches at a time


@dataclass(frozen=True)
class Searching:
    """What is searched of each prompt.

    Attributes:
        settings: the models and how they are sampled.
        folder: relative model folders count from here.
        plans: the searches.
        seed: seed of the first run.
        runs: how many times each is run.
    """

    settings: Settings
    folder: Path
    plans: Sequence[Plan]
    seed: int
    runs: int = 1

    def of(self, prompts: Sequence[tuple[str, str]]) -> list[PromptRecord]:
        """The searches of some (prompt, right answer) pairs, one process's part."""

        async def run() -> list[PromptRecord]:
            async with open_models(self.settings, self.folder, "transformers") as models:
                sampling = RequestSettings(self.settings.sampling)
                work = Work(1, tuple(self.plans), models.scoring, self.seed, self.runs)
                return await collect(models, sampling, prompts, work)

        return asyncio.run(run())


def search(
    title: str, searching: Searching, prompts: Sequence[tuple[str, str]]
) -> list[PromptRecord]:
    """The searches of (prompt, right answer) pairs, in their order.

    A process per core samples them: one keeps no more than one core busy.
    """
    parts = [prompts[i : i + PART] for i in range(0, len(prompts), PART)]
    jobs = Parallel(n_jobs=-1, return_as="generator")
    found: list[PromptRecord] = []
    with progress(title, len(parts)) as done:
        for part in jobs(delayed(searching.of)(part) for part in parts):
            found += part
            done(part)
    return found


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
        drawn = PlanRun(samples, correct, tokens, 0.0, engine.seed)
        return PromptRecord(prompt, gold, len(run.context.token_ids), drawn, ({},))

    return await bounded(one, prompts, PROMPTS_IN_FLIGHT, done)
