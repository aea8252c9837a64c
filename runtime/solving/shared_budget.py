"""One total budget over many prompts, allocated anew after every stage (section 3)."""

from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from allocator.errors import InputError, ModelError
from allocator.schedule import allocate_stage
from runtime.concurrency import bounded
from runtime.solving.adaptive_run import AdaptiveRun


def check_total(costs: Sequence[int], prompts: int, total: int) -> None:
    """Check that a total allows the first stage of every prompt.

    Args:
        costs: generations that the stages of the schedule cost, each with those before it.
        prompts: how many share the total.
        total: generations that all of them may cost together.

    Raises:
        InputError: it does not.
    """
    if total < costs[0] * prompts:
        raise InputError("total_budget", total, f"{prompts} prompts cost {costs[0]} each at least")


async def share_budget(
    runs: Sequence[AdaptiveRun],
    total: int,
    advance: Callable[[AdaptiveRun], Awaitable[None]],
    drifted: Callable[[], bool],
    in_flight: int,
) -> dict[int, ModelError]:
    """Advance adaptive runs, stage by stage, until the total is spent or nothing gains any more.

    Every run samples the first stage. Then what is left of the total is allocated to the runs by
    their predicted gains, those that are allocated more advance by one stage, and so on.

    Args:
        runs: one per prompt, at least one, all on the same schedule and not started.
        total: generations that all of them may cost together.
        advance: advances one run by one stage.
        drifted: whether traffic has drifted; gains are then taken to be the same for all runs.
        in_flight: how many runs advance at the same time, at most.

    Returns:
        The errors of the runs on which a model failed, by number. Their generations are spent.

    Raises:
        InputError: a total below the cost of the first stage of every run.
    """
    costs = runs[0].schedule.costs
    check_total(costs, len(runs), total)
    failed: dict[int, ModelError] = {}

    async def step(number: int) -> None:
        try:
            await advance(runs[number])
        except ModelError as error:
            failed[number] = error

    continuing = list(range(len(runs)))
    while continuing:
        await bounded(step, continuing, in_flight)
        alive = np.array([n for n in range(len(runs)) if n not in failed], dtype=int)
        if not len(alive):
            break
        spent = sum(run.prompt_run.cost.generations for run in runs)  # failed runs included
        stages = np.array([runs[n].stage for n in alive])
        gains = np.array([runs[n].gains for n in alive])
        if drifted():  # calibrated gains may not hold: equal gains share the budget evenly
            gains = np.tile(np.log(costs), (len(alive), 1))
        continuing = alive[allocate_stage(costs, stages, gains, total - spent)].tolist()
    return failed
