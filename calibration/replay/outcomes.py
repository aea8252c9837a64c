"""What tables are fitted on: how plans do on prompts, whichever replay computes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns


@dataclass(frozen=True)
class Outcome:
    """Accuracy, tokens and FLOPs of one plan, arrays of shape (prompts, replicates).

    Tokens are all 0 where they were not counted, FLOPs where the models' sizes are unknown.
    """

    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]


class Outcomes(Protocol):
    """What tables are fitted on: outcomes of plans on prompts with measured pass@1.

    Attributes:
        prompts: number of prompts.
        window: independent solutions of each prompt that are replayed.
        replicates: replays of each prompt.
        states: the language model's state after each prompt, shape (prompts, hidden); None where
            it was not requested.
        n_jobs: on how many cores outcomes are computed, and what is fitted on them; see
            `calibration.replay.parallel`.
        binned_budget: the largest budget at which plans may be binned by measured pass@1: up to it
            plans are evaluated on other samples than pass@1 is measured on.
    """

    prompts: int
    window: int
    replicates: int
    states: NDArray[np.float32] | None
    n_jobs: int | None
    binned_budget: int

    def prepare(self, plans: Sequence[tuple[Plan, int]], pilots: Sequence[int]) -> None:
        """Compute outcomes and features before they are used, on several cores.

        Args:
            plans: arguments of `outcome`.
            pilots: arguments of `features`.
        """
        ...

    def pass_at_1(self, pilots: int) -> NDArray[np.float64]:
        """Measured pass@1 of every prompt and replicate, shape (prompts, replicates).

        It is measured on samples that are neither among the replicate's first `binned_budget` nor
        among its pilots.

        Args:
            pilots: number of pilots.
        """
        ...

    def pass_at_1_samples(self, pilots: int) -> int:
        """Samples of every prompt and replicate that `pass_at_1` rests on, at least."""
        ...

    @property
    def without_closed_forms(self) -> "Outcomes":
        """The same without closed forms: each outcome is of its replicate's first samples.

        Such outcomes may be binned by measured pass@1. Closed forms use all samples, including
        those that pass@1 is measured on.
        """
        ...

    def features(self, pilots: int) -> NDArray[np.float64]:
        """Pilot features, shape (prompts, replicates, features); without pilots the prompt's."""
        ...

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        """Whether the plan's answer is right, and its cost, per prompt and replicate."""
        ...

    def mixed_outcome(self, plans: Sequence[Sequence[Plan]], pilots: int) -> Outcome:
        """The outcome where every prompt and replicate has a plan of its own.

        Args:
            plans: the plans, (prompts, replicates).
            pilots: pilots that each has had.
        """
        ...

    def majority(self, n: int) -> Outcome:
        """Majority voting over n samples without a verifier: answers that tie share the win.

        A plan with majority selection has the verifier score its ties instead; see
        `runtime.strategies.best_of_n.score_ties`.
        """
        ...

    def adaptive_runs(self, schedule: Schedule) -> AdaptiveRuns:
        """Adaptive runs through all stages of a schedule, several per prompt."""
        ...
