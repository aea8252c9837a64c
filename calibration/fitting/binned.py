"""What plans led to on prompts, whose replicates are in difficulty bins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from calibration.replay.outcomes import Outcome


class PlanOutcomes(Protocol):
    """How plans did on prompts.

    Attributes:
        prompts: number of prompts.
        replicates: replays of each prompt.
    """

    @property
    def prompts(self) -> int: ...

    @property
    def replicates(self) -> int: ...

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        """See `calibration.replay.outcomes.Outcomes`."""
        ...


class Figures(NamedTuple):
    """Accuracy and cost of each entry, arrays of shape (entries,).

    Attributes:
        correct: accuracy.
        generations: of the entry's plan.
        tokens: likewise; all 0 where they were not counted.
        flops: likewise.
    """

    correct: NDArray[np.float64]
    generations: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]


@dataclass(frozen=True)
class BinnedOutcomes:
    """What each plan led to on some entries, and which bin each entry is in.

    An entry is one replicate of a prompt.

    Attributes:
        plans: the plans.
        pilots: number of pilots that each prompt has had; the plans' costs include them.
        costs: generations of each plan, shape (plans,).
        correct: accuracy, shape (plans, entries).
        tokens: likewise; all 0 where they were not counted.
        flops: likewise.
        prompts: which prompt each entry belongs to, shape (entries,).
        bins: the bin of each entry, shape (entries,); 0 is the easiest.
        n_bins: number of bins; some may have no entries.
    """

    plans: Sequence[Plan]
    pilots: int
    costs: NDArray[np.float64]
    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]
    prompts: NDArray[np.int64]
    bins: NDArray[np.int64]
    n_bins: int

    def take_entries(self, entries: NDArray[np.bool_]) -> "BinnedOutcomes":
        """Some of the entries, by a mask."""
        return replace(
            self,
            correct=self.correct[:, entries],
            tokens=self.tokens[:, entries],
            flops=self.flops[:, entries],
            prompts=self.prompts[entries],
            bins=self.bins[entries],
        )

    def take_plans(self, plans: NDArray[np.int64]) -> "BinnedOutcomes":
        """Some of the plans, by indices."""
        return replace(
            self,
            plans=[self.plans[plan] for plan in plans],
            costs=self.costs[plans],
            correct=self.correct[plans],
            tokens=self.tokens[plans],
            flops=self.flops[plans],
        )

    def figures(self, chosen: NDArray[np.int64]) -> Figures:
        """Figures of the entries, each with a plan of its own: indices of shape (entries,)."""
        entries = np.arange(len(self.prompts))
        return Figures(
            correct=self.correct[chosen, entries],
            generations=self.costs[chosen],
            tokens=self.tokens[chosen, entries],
            flops=self.flops[chosen, entries],
        )


def gather(
    outcomes: PlanOutcomes,
    plans: Sequence[Plan],
    pilots: int,
    bins: NDArray[np.int64],
    n_bins: int,
) -> BinnedOutcomes:
    """The outcomes of plans on all prompts and replicates.

    Args:
        outcomes: how plans did.
        plans: the plans.
        pilots: number of pilots that each prompt has had.
        bins: the bin of each entry, shape (entries,).
        n_bins: number of bins.
    """
    found = [outcomes.outcome(plan, pilots) for plan in plans]
    return BinnedOutcomes(
        plans=plans,
        pilots=pilots,
        costs=np.array([float(plan.cost(pilots)) for plan in plans]),
        correct=np.array([outcome.correct.ravel() for outcome in found]),
        tokens=np.array([outcome.tokens.ravel() for outcome in found]),
        flops=np.array([outcome.flops.ravel() for outcome in found]),
        prompts=np.repeat(np.arange(outcomes.prompts), outcomes.replicates),
        bins=bins,
        n_bins=n_bins,
    )
