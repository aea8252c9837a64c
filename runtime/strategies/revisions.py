"""Sequential revisions (section 6.2): chains of attempts, each made in view of those before it.

N attempts are N / length chains of `length`: all parallel at length 1, which is best-of-N, all
sequential at length N. Selection is hierarchical, see `runtime.answers.selection`.
"""

from collections.abc import Sequence

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.concurrency import together
from runtime.prompt_run import PromptRun
from runtime.request import SearchStep
from runtime.strategies.beam_search import grow, keep_best


async def revisions(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """All attempts of all chains.

    Args:
        run: the prompt.
        plan: n attempts in chains of `length`.
        pilots: samples already at hand; they are first attempts, and where there are more of them
            than chains, the others stand beside the chains.
    """

    async def chain(index: int) -> list[Sample]:
        sample = pilots[index] if index < len(pilots) else await run.sample(index)
        return await revised(run, await run.as_attempt(sample, index), plan.length)

    chains = await together(chain(index) for index in range(plan.beams))
    attempts = [attempt for attempts in chains for attempt in attempts]
    return [*pilots[plan.beams :], *attempts]


async def beam_revisions(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """Beam search whose finished beams are then revised: a family the paper left open.

    Args:
        run: the prompt.
        plan: n attempts: n / length beams of width M, each the first attempt of a chain.
        pilots: samples already at hand; they take no part in the search.
    """
    path = ("beam_revisions", plan.beams, plan.beam_width)
    start = SearchStep("beam_revisions", plan.beams, lookahead=0, round=0, place=0)
    run.cost.generations += plan.beams  # spent though it may fail
    beams = await grow(run, plan.beams, keep_best(plan.beam_width), path, start)

    async def chain(index: int, beam: Sample) -> list[Sample]:
        return await revised(run, await run.as_attempt(beam, index), plan.length)

    first = await run.finish(beams)
    chains = await together(chain(index, beam) for index, beam in enumerate(first))
    return [*pilots, *(attempt for attempts in chains for attempt in attempts)]


async def revised(run: PromptRun, first: Sample, length: int) -> list[Sample]:
    """The chain of `length` attempts that begins with `first`."""
    attempts = [first]
    while len(attempts) < length:
        attempts.append(await run.revise(attempts))
    return attempts
