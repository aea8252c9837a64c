"""Outcomes of plans on collected records, pilots included, without sampling again.

Every prompt is replayed several times: each replicate takes the prompt's independent solutions in
another rotation, so that its pilots and the first n of its best-of-n differ. Replicates of a prompt
are not independent; all intervals are over prompts.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.flops import ModelSizes
from allocator.plan import Plan
from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns, joined
from calibration.replay.outcomes import Outcome
from calibration.replay.parallel import check_jobs, in_processes
from calibration.replay.replay_part import ReplayPart, adapted, mixed, prepared, rotated
from calibration.sampling.collect import PromptRecord
from predictors.oracle import oracle_pass_at_1

REPLICATES = 16
PART = 25  # prompts that are replayed at a time, on one core

Result = TypeVar("Result")


class Replay:
    """Replays plans on records.

    Args:
        records: collected records.
        window: how many of each prompt's first independent solutions are replayed. The rest
            measure pass@1: a prompt's bin must not depend on the solutions that a plan is
            evaluated on.
        replicates: rotations of the window.
        states: the language model's state after each prompt, if it was requested.
        n_jobs: see `calibration.replay.parallel`.
        pilot_thinking: tokens that pilots may think, as `Plan.thinking`. Solutions of this depth
            must have been collected.
        sizes: of the models, by which FLOPs are counted; None where they are unknown.

    Raises:
        InputError: no records, one with fewer solutions than the window, or `n_jobs` is 0.
    """

    def __init__(
        self,
        records: Sequence[PromptRecord],
        window: int,
        replicates: int = REPLICATES,
        states: NDArray[np.float32] | None = None,
        n_jobs: int | None = -1,
        pilot_thinking: int | None = None,
        sizes: ModelSizes | None = None,
    ) -> None:
        check_jobs(n_jobs)
        if not records:
            raise InputError("records", [], "collect at least one prompt")
        least = min(len(record.independent.samples) for record in records)
        if least < window:
            raise InputError("window", window, f"must be at most {least}: a prompt has no more")
        self.records = records
        self.prompts = len(records)
        self.window = self.binned_budget = window
        self.replicates = replicates
        self.states = states
        self.n_jobs = n_jobs
        self.pilot_thinking = pilot_thinking
        self.sizes = sizes
        self._known: dict[tuple[Plan, int], Outcome] = {}
        self._votes: dict[int, Outcome] = {}
        self._features: dict[int, NDArray[np.float64]] = {}

    @property
    def pass_at_1_by_prompt(self) -> NDArray[np.float64]:
        """Measured pass@1 of every prompt from its solutions beyond the window, (prompts,).

        Raises:
            InputError: there are none.
        """
        return oracle_pass_at_1(
            [record.independent.correct[self.window :] for record in self.records]
        )

    def pass_at_1(self, pilots: int) -> NDArray[np.float64]:
        """`pass_at_1_by_prompt` in every replicate, shape (prompts, replicates).

        It does not depend on the pilots, which are among the window's samples.
        """
        return np.repeat(self.pass_at_1_by_prompt[:, None], self.replicates, axis=1)

    def pass_at_1_samples(self, pilots: int) -> int:
        """See `Outcomes.pass_at_1_samples`."""
        return min(len(record.independent.correct) for record in self.records) - self.window

    @property
    def without_closed_forms(self) -> "Replay":
        """Itself: every outcome is of the window's samples."""
        return self

    def features(self, pilots: int) -> NDArray[np.float64]:
        """Pilot features, shape (prompts, replicates, features); without pilots the prompt's."""
        self.prepare([], [pilots])
        return self._features[pilots]

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        """Whether the plan's answer is right, and what it costs, per prompt and replicate.

        Raises:
            InputError: a search that was not collected.
        """
        self.prepare([(plan, pilots)], [])
        return self._known[self._effective(plan, pilots)]

    def prepare(self, plans: Sequence[tuple[Plan, int]], pilots: Sequence[int]) -> None:
        """See `Outcomes.prepare`.

        Raises:
            InputError: a search that was not collected.
        """
        wanted = dict.fromkeys(self._effective(*entry) for entry in plans)
        keys = [key for key in wanted if key not in self._known]
        counts = [count for count in pilots if count not in self._features]
        if not keys and not counts:
            return
        each = sum(max(plan.n, paid) for plan, paid in keys) + sum(counts)
        found = self._in_parts(prepared, each, [(keys, counts)] * len(self._parts))
        for place, key in enumerate(keys):
            values = np.concatenate([outcomes[place] for outcomes, _ in found])
            self._known[key] = Outcome(*np.moveaxis(values, -1, 0))
        for place, count in enumerate(counts):
            self._features[count] = np.concatenate([features[place] for _, features in found])

    def _in_parts(
        self, function: Callable[[tuple[Any, ...]], Result], each: int, given: Sequence[Any]
    ) -> list[Result]:
        """The function of each part's records, and of what is given for the part.

        Args:
            function: called with a tuple: the part, and the values for it.
            each: solutions replayed per prompt and replicate, by which processes are worth it.
            given: for each part a tuple of values.
        """
        parts = [(part, *values) for part, values in zip(self._parts, given, strict=True)]
        return in_processes(function, parts, self.n_jobs, each * self.prompts * self.replicates)

    @cached_property
    def _parts(self) -> list["ReplayPart"]:
        """The records in parts of `PART`."""
        same = self.window, self.replicates, self.pilot_thinking, self.sizes
        return [
            ReplayPart(self.records[start : start + PART], *same)
            for start in range(0, self.prompts, PART)
        ]

    def majority(self, n: int) -> Outcome:
        """See `Outcomes.majority`."""
        if n in self._votes:
            return self._votes[n]
        shape = self.prompts, self.replicates
        correct, tokens = np.empty(shape), np.empty(shape)
        for row, record in enumerate(self.records):
            for replicate in range(self.replicates):
                samples = rotated(
                    record.independent.samples, replicate, n, self.window, self.replicates
                )
                votes = Counter(sample.answer for sample in samples if sample.answer is not None)
                most = max(votes.values(), default=0)
                leading = [answer for answer, count in votes.items() if count == most]
                correct[row, replicate] = (record.gold in leading) / max(1, len(leading))
                tokens[row, replicate] = sum(sample.tokens for sample in samples)
        each = 0.0 if self.sizes is None else self.sizes.sampling(1)
        self._votes[n] = Outcome(correct, tokens, tokens * each)
        return self._votes[n]

    def mixed_outcome(self, plans: Sequence[Sequence[Plan]], pilots: int) -> Outcome:
        """See `Outcomes.mixed_outcome`."""
        each = max(max(plan.n, pilots) for of_record in plans for plan in set(of_record))
        rows = [(plans[start : start + PART], pilots) for start in range(0, self.prompts, PART)]
        values = np.concatenate(self._in_parts(mixed, each, rows))
        return Outcome(*np.moveaxis(values, -1, 0))

    def adaptive_runs(self, schedule: Schedule) -> AdaptiveRuns:
        """Adaptive runs of every prompt and replicate, arrays of (prompts, replicates, stages).

        Raises:
            InputError: a search that was not collected.
        """
        given = [(schedule,)] * len(self._parts)
        return joined(self._in_parts(adapted, schedule.stages[-1].samples, given))

    def _effective(self, plan: Plan, pilots: int) -> tuple[Plan, int]:
        """The plan and pilots that have the same outcome: of best-of-n, pilots are the first.

        Where others are not scored, pilots differ in FLOPs, for they are.
        """
        if plan.strategy != "best_of_n" or plan.thinking != self.pilot_thinking:
            return plan, pilots
        n = max(plan.n, pilots)
        alike = self.sizes is None or (n > 1 and plan.selection != "majority")
        return plan.model_copy(update={"n": n}), 0 if alike else pilots
