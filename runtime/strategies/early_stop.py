"""Early stop of best-of-n: when the remaining solutions cannot change its answer, or hardly can."""

from collections.abc import Sequence
from math import floor

import numpy as np

from allocator.plan import Selection
from predictors.sample import Sample
from predictors.vote_state import overtaken
from runtime.answers.selection import answer_mass

# No further solution can have a greater weight.
GREATEST_SCORE = 1.0
CERTAIN = 1.0


def min_to_settle(
    samples: Sequence[Sample],
    remaining: int,
    how: Selection,
    confidence: float = CERTAIN,
    whole: bool = True,
) -> int:
    """The minimum number of further solutions before the answer can be settled; 0 if it is.

    For certain, an answer is settled when the remaining solutions cannot change it. Exact for
    majority: the leader's lead exceeds the remaining votes. For weighted selection every remaining
    solution is assumed to have the greatest possible score, 1. A single greatest score is settled
    only at 1. With less confidence, an answer is also settled once its lead lasts with that
    probability (adaptive consistency, Aggarwal et al. 2023); weights are scaled to 1 on average.

    Args:
        samples: solutions so far, scored if the selection compares scores; equal answers must be
            equal strings.
        remaining: number of solutions not yet sampled.
        how: the selection that will be made.
        confidence: above 0.5, at most 1.
        whole: whether answers are voted on whole. Where their parts are, the leader is settled once
            it leads over all others together: then more than half of the weight has each of its
            parts, and no other part.
    """
    answered = [sample for sample in samples if sample.answer is not None]
    if how == "best":
        settled = any(sample.score >= GREATEST_SCORE for sample in answered)
        return 0 if settled else remaining
    mass = answer_mass(answered, how)
    first, *others = sorted([*mass.values(), 0.0, 0.0], reverse=True)
    second = others[0] if whole else sum(others)
    # k more for the leader, and the rest against it: lead + k > remaining - k.
    k = floor((remaining - (first - second) / GREATEST_SCORE) / 2) + 1
    certain = min(max(0, k), remaining)
    if confidence == CERTAIN:
        return certain
    total = sum(mass.values())
    scale = len(answered) / total if total else 1.0
    more = np.arange(certain)
    lasts = overtaken(first * scale + more, second * scale) <= 1 - confidence
    return int(lasts.argmax()) if lasts.any() else certain
