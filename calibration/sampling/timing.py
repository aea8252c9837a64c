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
SEED = 0  # of the draw of prompts, and of all sampling


async def time_plans(
    models: Models,
    settings: RequestSettings,
    prompts: Sequence[str],
    plans: Sequence[Plan],
) -> dict[Plan, float]:
    """Seconds of each plan from prompt to answer: a percentile over a few prompts, one at a time.

    Args:
        models: the models.
        settings: how solutions are sampled.
        prompts: a few of them, drawn at random, are timed: the first in a file may be the easiest.
        plans: plans to time; the selection of answers makes no difference.
    """
    drawn = np.random.default_rng(SEED).permutation(len(prompts))[:PROMPTS]
    found = {}
    for plan in dict.fromkeys(plan.sampled for plan in plans):
        taken = []
        for place in drawn:
            run = PromptRun(models, settings, prompts[place], SEED)
            started = time.perf_counter()
            await STRATEGIES[plan.strategy](run, plan, ())
            taken.append(time.perf_counter() - started)
        found[plan] = float(np.percentile(taken, PERCENTILE))
    return found
