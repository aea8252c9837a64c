"""Beam search against the PRM (section 5.2): N beams of which the best N/M live through a round.

The paper's N and M: other libraries use ``beam_width`` for different things (search-and-learn for
the continuations of a beam, its_hub for the beams kept). Here ``plan.beam_width`` is M, the
continuations sampled from each kept beam; N/M beams are kept. Lookahead search is beam search in
which each candidate is scored at the end of a greedy rollout of k further steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.concurrency import together
from runtime.engines.base import SeedPath
from runtime.prompt_run import PromptRun
from runtime.request import SearchStep
from runtime.solutions.beam import Beam


async def beam_search(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """The N finished beams, after the pilots, for selection among all of them.

    Args:
        run: the prompt.
        plan: N beams, width M and lookahead k.
        pilots: samples already at hand; they take no part in the search.
    """
    path = ("beam_search", plan.n, plan.beam_width, plan.lookahead)
    first = SearchStep("beam_search", plan.n, plan.lookahead, round=0, place=0)
    run.cost.generations += plan.n * (plan.lookahead + 1)  # spent though it may fail
    beams = await grow(run, plan.n, keep_best(plan.beam_width), path, first)
    return [*pilots, *await run.finish(beams)]


# Shares a number of continuations out over the living beams, which are ranked by their scores, best
# first: the beam that each continues, those of one beam together.
BeamAllocation = Callable[[Sequence[tuple[Beam, float]], int], list[Beam]]


def keep_best(width: int) -> BeamAllocation:
    """The best of the living beams, one in `width`, share as evenly as it goes."""

    def share(ranked: Sequence[tuple[Beam, float]], left: int) -> list[Beam]:
        kept = [beam for beam, _ in ranked[: -(-len(ranked) // width)]]
        return [kept[i * len(kept) // left] for i in range(left)]

    return share


async def grow(
    run: PromptRun, n: int, share: BeamAllocation, path: SeedPath, first: SearchStep
) -> list[Beam]:
    """N finished beams.

    A beam that has ended is one of the N solutions and takes no further part; the living ones share
    what is left of the N. All that still go on after the last round are finished as they stand.

    Args:
        run: the prompt.
        n: beams.
        share: how they share.
        path: seed path of the search among the prompt's draws.
        first: where the search's first step stands, and the steps of rollout before a candidate is
            ranked.
    """

    async def candidate(parent: Beam, round_: int, place: int) -> tuple[Beam, float]:
        draw = (*path, round_, place)
        beam = await run.extend(
            parent, draw, replace(first, round=round_, place=first.place + place)
        )
        if beam.stopped or not first.lookahead:
            return beam, run.probability_of(beam)
        return beam, await run.lookahead(beam, first.lookahead, draw)

    finished: list[Beam] = []
    ranked: list[tuple[Beam, float]] = []
    for round_ in range(run.settings.sampling.max_steps):
        living = share(ranked, n - len(finished)) if round_ else [Beam()] * n
        candidates = await together(
            candidate(parent, round_, place) for place, parent in enumerate(living)
        )
        finished += [beam for beam, _ in candidates if beam.stopped]
        # Stable: of equally scored beams the earlier one is kept.
        ranked = sorted(
            ((beam, score) for beam, score in candidates if not beam.stopped),
            key=lambda entry: -entry[1],
        )
        if not ranked:
            break
    return finished + [beam for beam, _ in ranked]
