"""Diverse verifier tree search: N/M independent subtrees, each a beam search that keeps one beam.

Not in the paper; from search-and-learn, which found that the subtrees' independence keeps the
answers diverse where one search over all N beams collapses onto a few.
"""

from collections.abc import Sequence

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.concurrency import together
from runtime.prompt_run import PromptRun
from runtime.request import SearchStep
from runtime.strategies.beam_search import grow, keep_best


async def dvts(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """The finished beams of all subtrees, after the pilots.

    Args:
        run: the prompt.
        plan: N beams in subtrees of width M.
        pilots: samples already at hand; they take no part in the search.
    """
    width = plan.beam_width
    run.cost.generations += plan.n  # spent though it may fail
    trees = await together(
        grow(
            run,
            width,
            keep_best(width),
            ("dvts", plan.n, width, tree),
            SearchStep("dvts", plan.n, lookahead=0, round=0, place=tree * width),
        )
        for tree in range(plan.n // width)
    )
    return [*pilots, *await run.finish([beam for tree in trees for beam in tree])]
