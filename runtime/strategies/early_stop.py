"""Early stop of best-of-n: when the remaining solutions cannot change its answer."""

from collections.abc import Sequence
from math import floor

from allocator.plan import Selection
from predictors.sample import Sample
from runtime.answers.selection import answer_mass

# A score is a probability: no further solution can have a greater weight.
GREATEST_SCORE = 1.0


def min_to_settle(samples: Sequence[Sample], remaining: int, how: Selection) -> int:
    """The minimum number of further solutions before the answer can be settled; 0 if it is.

    An answer is settled when the remaining solutions cannot change it. Exact for majority: the
    leader's lead exceeds the remaining votes. For weighted selection every remaining solution is
    assumed to have the greatest possible score, 1. A single greatest score is settled only at 1.

    Args:
        samples: solutions so far, scored if the selection compares scores; equal answers must be
            equal strings.
        remaining: number of solutions not yet sampled.
        how: the selection that will be made.
    """
    answered = [sample for sample in samples if sample.answer is not None]
    if how == "best":
        settled = any(sample.score >= GREATEST_SCORE for sample in answered)
        return 0 if settled else remaining
    mass = answer_mass(answered, how)
    first, second = sorted([*mass.values(), 0.0, 0.0], reverse=True)[:2]
    # k more for the leader, and the rest against it: lead + k > remaining - k.
    k = floor((remaining - (first - second) / GREATEST_SCORE) / 2) + 1
    return min(max(0, k), remaining)
