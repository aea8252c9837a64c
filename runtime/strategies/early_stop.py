"""When what is left of a best-of-n cannot change its answer any more."""

from collections.abc import Sequence
from math import floor

from allocator.plan import Selection
from predictors.sample import Sample
from runtime.answers.selection import answer_mass

# A score is a probability: no solution to come can weigh more.
GREATEST_SCORE = 1.0


def min_to_settle(samples: Sequence[Sample], remaining: int, how: Selection) -> int:
    """How many more solutions it takes at least before the answer stands; 0 if it stands now.

    It stands once the others still to come could not change it. Exact for majority: the leader's
    lead exceeds all the votes to come. For weighted selection the bound is that every solution to
    come weighs 1, the greatest score there is. The greatest single score only stands at 1.

    Args:
        samples: solutions so far, scored if the selection compares scores; equal answers must be
            equal strings.
        remaining: solutions to come.
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
