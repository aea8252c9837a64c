"""REBASE: beams continued in proportion to the softmax of their scores (Wu et al. 2024).

Not in the paper. Beam search keeps a fixed number of beams, whatever their scores; here a beam that
stands out takes most continuations, and beams about as good share them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.prompt_run import PromptRun
from runtime.request import SearchStep
from runtime.solutions.beam import Beam
from runtime.strategies.beam_search import BeamAllocation, grow

TEMPERATURE = 0.1  # of the softmax, as published


async def rebase(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """The N finished beams, after the pilots.

    Args:
        run: the prompt.
        plan: N beams.
        pilots: samples already at hand; they take no part in the search.
    """
    return await resampling(run, plan, pilots, by_weight)


async def resampling(
    run: PromptRun, plan: Plan, pilots: Sequence[Sample], share: BeamAllocation
) -> list[Sample]:
    """The pilots and N finished beams, which are continued by shares; others as in `rebase`."""
    first = SearchStep(plan.strategy, plan.n, lookahead=0, round=0, place=0)
    run.cost.generations += plan.n  # spent though it may fail
    beams = await grow(run, plan.n, share, (plan.strategy, plan.n), first)
    return [*pilots, *await run.finish(beams)]


def by_weight(ranked: Sequence[tuple[Beam, float]], left: int) -> list[Beam]:
    """Continuations in proportion to the softmax of scores; a `beam_search.BeamAllocation`."""
    return shared([beam for beam, _ in ranked], softmax([score for _, score in ranked]), left)


def softmax(scores: Sequence[float]) -> NDArray[np.float64]:
    """Weights of scores, which sum to 1."""
    weights = np.exp((np.array(scores) - max(scores)) / TEMPERATURE)
    return np.asarray(weights / weights.sum())


def shared(beams: Sequence[Beam], weights: NDArray[np.float64], left: int) -> list[Beam]:
    """The beam that each of a number of continuations continues.

    Whole parts of the shares first; what is left goes to the largest remainders.

    Args:
        beams: the living beams.
        weights: the share of each, which sum to 1.
        left: continuations.
    """
    counts = np.floor(weights * left).astype(int)
    rest = np.argsort(counts - weights * left, kind="stable")[: left - counts.sum()]
    counts[rest] += 1
    return [beam for beam, count in zip(beams, counts.tolist(), strict=True) for _ in range(count)]
