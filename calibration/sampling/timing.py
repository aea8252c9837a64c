"""How long plans take, one prompt at a time."""

import time
from collections.abc import Sequence

import numpy as np

from allocator.plan import Plan
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.strategies import STRATEGIES

PROMPTS = 5
PERCENTILE = 90


async def time_plans(
    models: Models,
    settings: RequestSettings,
    prompts: Sequence[str],
    plans: Sequence[Plan],
    seed: int,
) -> dict[Plan, float]:
    """Seconds of each plan from prompt to answer: a percentile over a few prompts, one at a time.

    Args:
        models: the models.
        settings: how solutions are sampled.
        prompts: the first of them are timed.
        plans: plans to time; the selection of answers makes no difference.
        seed: seed of all sampling.
    """
    found = {}
    for plan in dict.fromkeys(plan.sampled for plan in plans):
        taken = []
        for prompt in prompts[:PROMPTS]:
            started = time.perf_counter()
            await STRATEGIES[plan.strategy](PromptRun(models, settings, prompt, seed), plan, ())
            taken.append(time.perf_counter() - started)
        found[plan] = float(np.percentile(taken, PERCENTILE))
    return found
