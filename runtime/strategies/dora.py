"""DORA: as REBASE, but beams that go the same way share one beam's weight (Wang et al. 2025).

Not in the paper. Where most beams have taken the same step, REBASE gives that direction a share for
each of them, though its score is known no better than that of a step that one beam has taken.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.prompt_run import PromptRun
from runtime.solutions.beam import Beam
from runtime.strategies.rebase import resampling, shared, softmax

# Of the softmax over similarities, as published: all but equal directions are different ones.
SHARPNESS = 0.01


async def dora(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """The N finished beams, after the pilots.

    Args:
        run: the prompt.
        plan: N beams.
        pilots: samples already at hand; they take no part in the search.
    """
    return await resampling(run, plan, pilots, by_direction)


def by_direction(ranked: Sequence[tuple[Beam, float]], left: int) -> list[Beam]:
    """Continuations by scores and directions; a `beam_search.BeamAllocation`."""
    beams = [beam for beam, _ in ranked]
    weights = softmax([score for _, score in ranked]) * distinctness(beams)
    return shared(beams, weights / weights.sum(), left)


def distinctness(beams: Sequence[Beam]) -> NDArray[np.float64]:
    """The share of its direction that each beam has: 1 where no other goes its way, 1/3 of three.

    Published with embeddings of steps by a language model; here two steps are alike as far as they
    have the same tokens.
    """
    # All tokens of all steps as places in their vocabulary, and how often each step has each.
    lengths = [len(beam.steps[-1]) for beam in beams]
    places = np.unique([t for beam in beams for t in beam.steps[-1]], return_inverse=True)[1]
    counts = np.zeros((len(beams), places.max() + 1))
    np.add.at(counts, (np.repeat(range(len(beams)), lengths), places), 1)
    sizes = np.sqrt((counts**2).sum(axis=1))
    alike = counts @ counts.T / np.outer(sizes, sizes)
    weights = np.exp((alike - 1) / SHARPNESS)
    return np.asarray(1 / weights.sum(axis=1))
