"""A race of searches: which of those that cost alike are worth running on every prompt.

A grid with every strategy and width is many times as costly to sample as one with the paper's
widths, and most of its searches lead nowhere. All are run on some prompts, drawn at random; the
others get the leaders.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from allocator.plan import Plan
from calibration.replay.outcomes import Outcomes

# Searches are compared among the easiest, the middling and the hardest prompts.
PARTS = 3


def leaders(outcomes: Outcomes, searches: Sequence[Plan]) -> list[Plan]:
    """The searches that are the most accurate of their cost in some part of the prompts.

    Of those that are equal there, the one that is the most accurate over all prompts leads: the
    easiest prompts are often solved by every search.

    Args:
        outcomes: replayed outcomes of the searches on the prompts of the race.
        searches: all that were run.

    Returns:
        One to `PARTS` of each cost, cheapest first.
    """
    order = np.argsort(-outcomes.pass_at_1(0).mean(axis=1), kind="stable")
    parts = np.array_split(order, PARTS)
    found: list[Plan] = []
    for _, group in groupby(sorted(searches, key=_cost), key=_cost):
        plans = list(group)
        accuracy = np.array([outcomes.outcome(p, 0).correct.mean(axis=1) for p in plans])
        ranks = [[*zip(accuracy[:, part].mean(1), accuracy.mean(1), strict=True)] for part in parts]
        first = {max(range(len(plans)), key=of_part.__getitem__) for of_part in ranks}
        found += [plans[place] for place in sorted(first)]
    return found


def _cost(plan: Plan) -> int:
    return plan.cost(0)
