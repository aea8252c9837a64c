"""Beam search against the PRM (section 5.2): N beams of which the best N/M live through a round.

The paper's N and M: other libraries use ``beam_width`` for different things (continuations a
beam, or beams kept). Here ``plan.beam_width`` is M, the continuations sampled from each kept
beam; N/M beams are kept.
"""

from collections.abc import Sequence

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.concurrency import together
from runtime.prompt_run import Beam, PromptRun


async def beam_search(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """The N finished beams, after the pilots, for selection among all of them.

    A beam that has ended is one of the N solutions and takes no further part; the best of the
    living ones share what is left of the N as evenly as it goes. Beams that still go on after the
    last round are finished as they stand.

    Args:
        run: the prompt.
        plan: N beams and width M.
        pilots: samples already at hand; they take no part in the search.
    """
    finished: list[Beam] = []
    living = [Beam()] * plan.n
    for round_ in range(run.decoder.settings.max_steps):
        candidates = await _extend(run, plan, living, round_)
        finished += [beam for beam in candidates if beam.stopped]
        # Stable: of equally scored beams the earlier one is kept.
        ranked = sorted(
            (beam for beam in candidates if not beam.stopped),
            key=lambda beam: -beam.step_scores[-1],
        )
        if not ranked:
            living = []
            break
        kept = ranked[: -(-len(ranked) // plan.beam_width)]
        left = plan.n - len(finished)
        living = [kept[i * len(kept) // left] for i in range(left)]
    run.cost.generations += plan.n
    return [*pilots, *run.finish(finished + living)]


async def _extend(run: PromptRun, plan: Plan, beams: Sequence[Beam], round_: int) -> list[Beam]:
    """One more step for every beam, each with a seed of its own."""
    search = ("beam_search", plan.n, plan.beam_width)
    return await together(
        run.extend(beam, (*search, round_, place)) for place, beam in enumerate(beams)
    )
