"""Best-of-N (section 5.2): N independent solutions. Selection follows in `runtime.selection`."""

from collections.abc import Sequence

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.concurrency import together
from runtime.early_stop import settled
from runtime.engine import Halt
from runtime.prompt_run import PromptRun


async def best_of_n(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """N scored solutions, the pilots being the first of them.

    With early stop there may be fewer: as soon as those to come cannot change the answer, their
    requests are stopped.

    Args:
        run: the prompt.
        plan: n solutions in all.
        pilots: samples of the prompt already at hand, its first ones.
    """
    if not run.decoder.early_stop:
        return [*pilots, *await run.samples(len(pilots), plan.n)]
    halt, arrived = Halt(), dict(enumerate(pilots))

    async def one(index: int) -> None:
        sample = await run.sample(index, halt)
        if sample is None:
            return
        arrived[index] = sample
        if settled(run.unify(list(arrived.values())), plan.n - len(arrived), plan.selection):
            halt()

    if not settled(pilots, plan.n - len(pilots), plan.selection):
        await together(one(index) for index in range(len(pilots), plan.n))
    return [arrived[index] for index in sorted(arrived)]
