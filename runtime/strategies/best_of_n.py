"""Best-of-N (section 5.2): N independent solutions. Selection follows in `runtime.selection`."""

from collections.abc import Sequence

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.prompt_run import PromptRun


async def best_of_n(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """N scored solutions, the pilots being the first of them.

    Args:
        run: the prompt.
        plan: n solutions in all.
        pilots: samples of the prompt already at hand, its first ones.
    """
    return [*pilots, *await run.samples(len(pilots), plan.n)]
