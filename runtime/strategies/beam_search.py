"""Beam search against the PRM (section 5.2): N beams of which the best N/M live through a round.

The paper's N and M: other libraries use ``beam_width`` for different things (continuations a
beam, or beams kept). Here ``plan.beam_width`` is M, the continuations sampled from each kept
beam; N/M beams are kept.
"""

import asyncio
from collections.abc import Sequence

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.prompt_run import Beam, PromptRun


async def beam_search(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """The finished beams, after the pilots, for selection among all of them.

    A kept beam that has ended leaves the search with its place, so the N/M places that remain
    go on shrinking until every beam has ended; what then lies finished is the result. Beams that
    still go on after the last round are finished as they stand.

    Args:
        run: the prompt.
        plan: N beams and width M.
        pilots: samples already at hand; they take no part in the search.
    """
    places = plan.n // plan.beam_width
    finished: list[Beam] = []
    candidates = await _extend(run, plan, [Beam()] * plan.n, round_=0)
    for round_ in range(1, run.decoder.settings.max_steps):
        if all(beam.stopped for beam in candidates):
            break
        # Stable: of equally scored beams the earlier one is kept.
        kept = sorted(candidates, key=lambda beam: -beam.step_scores[-1])[:places]
        finished += [beam for beam in kept if beam.stopped]
        living = [beam for beam in kept if not beam.stopped]
        places = len(living)
        candidates = await _extend(
            run, plan, [beam for beam in living for _ in range(plan.beam_width)], round_
        )
    run.cost.generations += plan.n
    return [*pilots, *run.finish(finished + candidates)]


async def _extend(run: PromptRun, plan: Plan, beams: Sequence[Beam], round_: int) -> list[Beam]:
    """One more step for every beam, each with a seed of its own."""
    search = ("beam_search", plan.n, plan.beam_width)
    return list(
        await asyncio.gather(
            *(run.extend(beam, (*search, round_, place)) for place, beam in enumerate(beams))
        )
    )
