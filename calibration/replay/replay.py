"""Outcomes of plans on collected records, pilots included, without sampling again.

Every prompt is replayed several times: each replicate takes the prompt's independent solutions in
another rotation, so that its pilots and the first n of its best-of-n differ. Replicates of a prompt
are not independent; all intervals are over prompts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns, Draw, draws_of, replay_run
from calibration.sampling.collect import PromptRecord, Run
from predictors.features import pilot_features
from predictors.oracle import oracle_pass_at_1
from predictors.prompt import prompt_features
from predictors.sample import Sample
from runtime.answers.selection import select

REPLICATES = 16


@dataclass(frozen=True)
class Outcome:
    """Accuracy and tokens of one plan, arrays of shape (prompts, replicates)."""

    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]


class Outcomes(Protocol):
    """What tables are fitted on: outcomes of plans on prompts with measured pass@1.

    Attributes:
        prompts: number of prompts.
        window: independent solutions of each prompt that are replayed.
        replicates: replays of each prompt.
        states: the language model's state after each prompt, shape (prompts, hidden); None where
            it was not requested.
        binned_budget: the largest budget at which plans may be binned by measured pass@1: up to it
            plans are evaluated on other samples than pass@1 is measured on.
    """

    prompts: int
    window: int
    replicates: int
    states: NDArray[np.float32] | None
    binned_budget: int

    def measured(self, pilots: int) -> NDArray[np.float64]:
        """Measured pass@1 of every prompt and replicate, shape (prompts, replicates).

        It is measured on samples that are neither among the replicate's first `binned_budget` nor
        among its pilots.

        Args:
            pilots: number of pilots.
        """
        ...

    @property
    def paired(self) -> "Outcomes":
        """The same without closed forms: each outcome is of its replicate's first samples.

        Such outcomes may be binned by measured pass@1. Closed forms use all samples, including
        those that pass@1 is measured on.
        """
        ...

    def features(self, pilots: int) -> NDArray[np.float64]:
        """Pilot features, shape (prompts, replicates, features); without pilots the prompt's."""
        ...

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        """Whether the plan's answer is right, and its tokens, per prompt and replicate."""
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


class Replay:
    """Replays plans on records.

    Args:
        records: collected records.
        window: how many of each prompt's first independent solutions are replayed. The rest
            measure pass@1: a prompt's bin must not depend on the solutions that a plan is
            evaluated on.
        replicates: rotations of the window.
        states: the language model's state after each prompt, if it was requested.

    Raises:
        InputError: no records, or one with fewer solutions than the window.
    """

    def __init__(
        self,
        records: Sequence[PromptRecord],
        window: int,
        replicates: int = REPLICATES,
        states: NDArray[np.float32] | None = None,
    ) -> None:
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
        self._known: dict[tuple[Plan, int], Outcome] = {}

    @property
    def pass_at_1(self) -> NDArray[np.float64]:
        """Measured pass@1 of every prompt from its solutions beyond the window, (prompts,).

        Raises:
            InputError: there are none.
        """
        return oracle_pass_at_1(
            [record.independent.correct[self.window :] for record in self.records]
        )

    def measured(self, _: int) -> NDArray[np.float64]:
        """`pass_at_1` of every prompt and replicate, shape (prompts, replicates)."""
        return np.repeat(self.pass_at_1[:, None], self.replicates, axis=1)

    @property
    def paired(self) -> "Replay":
        """Itself: every outcome is of the window's samples."""
        return self

    def first(self, record: PromptRecord, replicate: int, count: int) -> list[Sample]:
        """The first of a record's independent solutions, in the order a replicate takes them."""
        shift = replicate * self.window // self.replicates
        return [record.independent.samples[(i + shift) % self.window] for i in range(count)]

    def features(self, pilots: int) -> NDArray[np.float64]:
        """Pilot features, shape (prompts, replicates, features); without pilots the prompt's."""
        if pilots == 0:
            each = [prompt_features(record.prompt, record.prompt_tokens) for record in self.records]
            return np.repeat(np.array(each)[:, None], self.replicates, axis=1)
        return np.array(
            [
                [
                    pilot_features(record.prompt_tokens, self.first(record, r, pilots))
                    for r in range(self.replicates)
                ]
                for record in self.records
            ]
        )

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        """Whether the plan's answer is right, and the tokens it samples, per prompt and replicate.

        Raises:
            InputError: a search that was not collected.
        """
        if plan.strategy == "best_of_n":  # the pilots are its first solutions
            plan, pilots = plan.model_copy(update={"n": max(plan.n, pilots)}), 0
        key = (plan, pilots)
        if key not in self._known:
            everywhere = [[plan] * self.replicates] * len(self.records)
            self._known[key] = self.mixed_outcome(everywhere, pilots)
        return self._known[key]

    def majority(self, n: int) -> Outcome:
        """See `Outcomes.majority`."""
        shape = self.prompts, self.replicates
        correct, tokens = np.empty(shape), np.empty(shape)
        for row, record in enumerate(self.records):
            for replicate in range(self.replicates):
                samples = self.first(record, replicate, n)
                votes = Counter(sample.answer for sample in samples if sample.answer is not None)
                most = max(votes.values(), default=0)
                leading = [answer for answer, count in votes.items() if count == most]
                correct[row, replicate] = (record.gold in leading) / max(1, len(leading))
                tokens[row, replicate] = sum(sample.tokens for sample in samples)
        return Outcome(correct, tokens)

    def mixed_outcome(self, plans: Sequence[Sequence[Plan]], pilots: int) -> Outcome:
        """See `Outcomes.mixed_outcome`."""
        cells = [
            [self._one(record, r, plan, pilots) for r, plan in enumerate(of_record)]
            for record, of_record in zip(self.records, plans, strict=True)
        ]
        values = np.array(cells, dtype=float)
        return Outcome(values[..., 0], values[..., 1])

    def adaptive_runs(self, schedule: Schedule) -> AdaptiveRuns:
        """Adaptive runs of every prompt and replicate, arrays of (prompts, replicates, stages).

        Raises:
            InputError: a search that was not collected.
        """
        adaptive_runs = AdaptiveRuns.empty(self.prompts, self.replicates, len(schedule.stages))
        top = schedule.stages[-1]
        for row, record in enumerate(self.records):
            for replicate in range(self.replicates):
                searched: list[Draw] = []
                tokens = 0
                if top.search is not None:
                    run = self.searched(record, replicate, top.search)
                    searched, tokens = draws_of(run.samples), run.sampled_tokens
                drawn = draws_of(self.first(record, replicate, top.samples))
                replay_run(
                    adaptive_runs,
                    (row, replicate),
                    schedule,
                    record.prompt_tokens,
                    record.gold,
                    drawn,
                    searched,
                    tokens,
                )
        return adaptive_runs

    def searched(self, record: PromptRecord, replicate: int, plan: Plan) -> Run:
        """A search's stored solutions; replicates rotate through its repeated runs.

        Raises:
            InputError: a search that was not collected.
        """
        found = record.turns[replicate % len(record.turns)].get(plan.sampled)
        if found is None:
            raise InputError("plan", str(plan), "it was not collected; collect it first")
        return found

    def _one(
        self, record: PromptRecord, replicate: int, plan: Plan, pilots: int
    ) -> tuple[float, float]:
        if plan.strategy == "best_of_n":
            samples = self.first(record, replicate, max(plan.n, pilots))
            tokens = sum(sample.tokens for sample in samples)
        else:
            # Pilots are the first attempts of revision chains; other searches are added to them.
            within = plan.beams if plan.strategy == "revisions" else 0
            samples = self.first(record, replicate, pilots)[within:]
            run = self.searched(record, replicate, plan)
            tokens = sum(sample.tokens for sample in samples) + run.sampled_tokens
            samples += run.samples
        return float(select(samples, plan.selection).answer == record.gold), tokens
