"""When what is left of a best-of-n cannot change its answer any more."""

from collections.abc import Sequence

from allocator.plan import Selection
from predictors.sample import Sample
from runtime.selection import answer_mass

# A score is a probability: no solution to come can weigh more.
GREATEST_SCORE = 1.0


def settled(samples: Sequence[Sample], remaining: int, how: Selection) -> bool:
    """Whether the answer stands, whatever the remaining solutions turn out to be.

    Exact for majority: the leader's lead exceeds all the votes to come. For weighted selection
    the bound is that every solution to come weighs 1, the greatest score there is. The greatest
    single score is only settled at 1.

    Args:
        samples: scored solutions so far; equal answers must be equal strings.
        remaining: solutions to come.
        how: the selection that will be made.
    """
    if remaining == 0:
        return True
    answered = [sample for sample in samples if sample.answer is not None]
    if not answered:
        return False
    if how == "best":
        return max(sample.score for sample in answered) >= GREATEST_SCORE
    mass = answer_mass(answered, how)
    first, second = sorted([*mass.values(), 0.0], reverse=True)[:2]
    return first - second > remaining * GREATEST_SCORE
