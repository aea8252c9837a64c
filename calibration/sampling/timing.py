"""How long plans take, one prompt at a time."""

import time
from collections.abc import Sequence

import numpy as np

from allocator.plan import Plan
from runtime.prompt_run import Decoder, PromptRun
from runtime.strategies import STRATEGIES

PROMPTS = 5
PERCENTILE = 90


async def time_plans(
    decoder: Decoder, prompts: Sequence[str], plans: Sequence[Plan], seed: int
) -> dict[Plan, float]:
    """Seconds of each plan from prompt to answer: a percentile over a few prompts, one at a time.

    Args:
        decoder: models and settings.
        prompts: the first of them are timed.
        plans: plans to time; the selection of answers makes no difference.
        seed: seed of all sampling.
    """
    found = {}
    for plan in dict.fromkeys(plan.sampled for plan in plans):
        taken = []
        for prompt in prompts[:PROMPTS]:
            started = time.perf_counter()
            await STRATEGIES[plan.strategy](PromptRun(decoder, prompt, seed), plan, ())
            taken.append(time.perf_counter() - started)
        found[plan] = float(np.percentile(taken, PERCENTILE))
    return found
