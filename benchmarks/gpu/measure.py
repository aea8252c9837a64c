"""Real models on a GPU: opened, timed, and their verifier's scores compared between two engines."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allocator.plan import Plan
from benchmarks.targets import at_most, bootstrapped, once
from benchmarks.testbed.task import distinct_problems
from calibration.report.targets import Target, reported
from predictors.sample import Sample
from runtime.answers.selection import select
from runtime.concurrency import bounded
from runtime.models import Models, open_models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.settings import Settings
from runtime.solving.solve import prompts_in_flight
from runtime.strategies import STRATEGIES
from runtime.verifiers.base import Context
from runtime.verifiers.loading import open_verifier

PROMPT_SEED = 3
TASK = (
    "Work out {} strictly from left to right, one operation after the other. After every operation "
    r"keep only the remainder of division by 1000. Put the last result in \boxed{{}}."
)
COMPARED = 64  # solutions that both engines score
# Bounds: what beam search may cost over best-of-N, and how far scores in bfloat16 may part.
MAX_TIMES, MAX_DIFFERENCE = 1.3, 0.01

Solution = tuple[Context, Sample]


def prompts_of(count: int) -> list[tuple[str, str]]:
    """(prompt, right answer) pairs, for any model that follows instructions."""
    problems = distinct_problems("test", count, PROMPT_SEED)
    return [(TASK.format(problem.text), problem.answer) for problem in problems]


@dataclass(frozen=True)
class Run:
    """What one plan did on all prompts.

    Attributes:
        seconds: wall time.
        sampled_tokens: tokens that the language model sampled.
        verifier_tokens: tokens that the verifier ran over.
        generations: of all prompts.
        correct: whether each prompt was answered right.
    """

    seconds: float
    sampled_tokens: int
    verifier_tokens: int
    generations: int
    correct: list[bool]


async def timed(
    models: Models, settings: RequestSettings, prompts: Sequence[tuple[str, str]], plan: Plan
) -> tuple[Run, list[Solution]]:
    """One plan on all prompts, and its solutions."""
    runs = [PromptRun(models, settings, prompt, seed=0) for prompt, _ in prompts]

    async def solutions(run: PromptRun) -> list[Sample]:
        return await run.canonicalize(await STRATEGIES[plan.strategy](run, plan, ()))

    started = time.perf_counter()
    most = prompts_in_flight(models.engine, plan.n, settings.sampling.max_tokens)
    found = await bounded(solutions, runs, most)
    seconds = time.perf_counter() - started
    answers = [select(samples).answer for samples in found]
    done = Run(
        seconds=seconds,
        sampled_tokens=sum(run.cost.sampled_tokens for run in runs),
        verifier_tokens=sum(run.cost.verifier_tokens for run in runs),
        generations=sum(run.cost.generations for run in runs),
        correct=[answer == gold for answer, (_, gold) in zip(answers, prompts, strict=True)],
    )
    pairs = [
        (run.context, sample)
        for run, samples in zip(runs, found, strict=True)
        for sample in samples
        if sample.step_scores
    ]
    return done, pairs


async def differences(
    settings: Settings, language_model: Any, solutions: Sequence[Solution]
) -> list[float]:
    """|score in vLLM - score in transformers| of every step; vLLM's engines are closed."""
    folder = settings.folder(Path(), "verifier")
    verifier = open_verifier(folder, language_model, settings.verifier_family, "transformers")

    async def apart(solution: Solution) -> list[float]:
        context, sample = solution
        here = (await verifier.score(context, sample.steps)).step_scores
        return [abs(a - b) for a, b in zip(here, sample.step_scores, strict=True)]

    try:
        found = await bounded(apart, solutions, len(solutions))
    finally:
        verifier.close()
    return [difference for part in found for difference in part]


def memory_used() -> list[float]:
    """GB in use on each GPU, by whatever process."""
    import torch

    seen = [torch.cuda.mem_get_info(gpu) for gpu in range(torch.cuda.device_count())]
    return [(total - free) / 1e9 for free, total in seen]


async def measure(
    settings: Settings, prompts: Sequence[tuple[str, str]], n: int
) -> tuple[dict[str, Any], list[Target]]:
    """Open policy and verifier in vLLM, run best-of-N and beam search, and compare scores.

    Args:
        settings: the models, answers and sampling.
        prompts: (prompt, right answer) pairs.
        n: generations per prompt.

    Returns:
        What was measured, and its targets.

    Raises:
        InputError, ModelError: models that cannot be opened, or that fail.
    """
    plans = {
        "best-of-N": Plan(strategy="best_of_n", n=n),
        "beam search": Plan(strategy="beam_search", n=n, beam_width=min(4, n)),
    }
    request = RequestSettings(settings.sampling)
    runs: dict[str, Run] = {}
    solutions: list[Solution] = []
    started = time.perf_counter()
    async with open_models(settings, Path(), "vllm", "vllm") as models:
        opening, memory = time.perf_counter() - started, memory_used()
        language_model = models.engine.tokenizer
        # The first requests compile kernels. Other prompts: these are in no cache afterwards.
        warm = [(f"{prompt} Think twice.", gold) for prompt, gold in prompts[:4]]
        for name, plan in plans.items():
            await timed(models, request, warm, plan)
            runs[name], found = await timed(models, request, prompts, plan)
            solutions += found[:: max(1, len(found) * len(plans) // COMPARED)]
    apart = np.array(await differences(settings, language_model, solutions))
    data = {
        "settings": settings.model_dump(mode="json"),
        "n": n,
        "prompts": len(prompts),
        "memory_used": memory,
        "runs": {name: asdict(run) for name, run in runs.items()},
        "compared_steps": len(apart),
    }
    return data, targets_of(opening, runs, apart)


def targets_of(opening: float, runs: Mapping[str, Run], apart: Any) -> list[Target]:
    """The figures, and those that have a bound."""
    best, beams = runs["best-of-N"], runs["beam search"]
    return [
        reported("seconds to open policy and verifier", once(opening)),
        *(
            reported(f"{name}: tokens per second", once(run.sampled_tokens / run.seconds))
            for name, run in runs.items()
        ),
        *(
            reported(f"{name}: accuracy", bootstrapped(np.array(run.correct, dtype=float)))
            for name, run in runs.items()
        ),
        at_most(
            "beam search over best-of-N, wall time", once(beams.seconds / best.seconds), MAX_TIMES
        ),
        at_most(
            "verifier scores, vLLM and transformers: mean difference",
            bootstrapped(apart),
            MAX_DIFFERENCE,
        ),
        reported(
            "verifier scores, vLLM and transformers: largest difference", once(float(apart.max()))
        ),
    ]
