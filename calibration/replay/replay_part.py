"""The replay of some prompts, in whichever process: what takes the time of `Replay`.

Functions take one tuple, as `calibration.replay.parallel` calls them. Each prompt is replayed by
itself, so results do not depend on how prompts are divided into parts.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.flops import ModelSizes
from allocator.plan import Plan
from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns, Searched, draws_of, replay_run
from calibration.replay.plan_flops import best_of_n_flops, search_flops
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.features import pilot_features
from predictors.prompt import prompt_features
from predictors.sample import Sample
from runtime.answers.selection import select


class ReplayPart:
    """Some of the records of a `Replay`.

    Args:
        records: some of its records.
        window: as of `Replay`.
        replicates: likewise.
        pilot_thinking: likewise.
        sizes: likewise.
    """

    def __init__(
        self,
        records: Sequence[PromptRecord],
        window: int,
        replicates: int,
        pilot_thinking: int | None = None,
        sizes: ModelSizes | None = None,
    ) -> None:
        self.records = records
        self.window = window
        self.replicates = replicates
        self.pilot_thinking = pilot_thinking
        self.sizes = sizes

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without token ids, texts, and solutions beyond the window."""
        light = [_light(record, self.window) for record in self.records]
        return self.__dict__ | {"records": light}

    def first(self, record: PromptRecord, replicate: int, count: int) -> list[Sample]:
        """The first of a record's pilots, in the order a replicate takes them."""
        return self.at_depth(record, replicate, count, self.pilot_thinking)

    def at_depth(
        self, record: PromptRecord, replicate: int, count: int, thinking: int | None
    ) -> list[Sample]:
        """The first of a record's independent solutions, of thoughts of a depth."""
        return rotated(pool(record, thinking), replicate, count, self.window, self.replicates)

    def searched(self, record: PromptRecord, replicate: int, plan: Plan) -> PlanRun:
        """A search's stored solutions; replicates rotate through its repeated runs.

        Raises:
            InputError: a search that was not collected.
        """
        found = record.repeats[replicate % len(record.repeats)].get(plan.sampled)
        if found is None:
            raise InputError("plan", str(plan), "it was not collected; collect it first")
        return found

    def one(
        self, record: PromptRecord, replicate: int, plan: Plan, pilots: int
    ) -> tuple[float, float, float]:
        """Whether one plan's answer is right, its tokens and its FLOPs."""
        flops = 0.0
        if plan.strategy == "best_of_n":
            deep = self.at_depth(record, replicate, max(plan.n, pilots), plan.thinking)
            samples, tokens = thought_on(self.first(record, replicate, pilots), deep, plan.thinking)
            if self.sizes is not None:
                flops = best_of_n_flops(self.sizes, plan, pilots, samples, tokens)
        else:
            # Pilots are the first attempts of revision chains; other searches are added to them.
            within = plan.beams if plan.strategy == "revisions" else 0
            samples = self.first(record, replicate, pilots)[within:]
            run = self.searched(record, replicate, plan)
            beside = sum(sample.tokens for sample in samples)
            tokens = beside + run.sampled_tokens
            if self.sizes is not None:
                flops = search_flops(self.sizes, plan, beside, run)
            samples += run.samples
        return float(select(samples, plan.selection).answer == record.gold), tokens, flops

    def features(self, pilots: int) -> NDArray[np.float64]:
        """See `calibration.replay.outcomes.Outcomes.features`."""
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


def pool(record: PromptRecord, thinking: int | None) -> Sequence[Sample]:
    """A record's independent solutions with thoughts of a depth.

    Raises:
        InputError: they were not collected.
    """
    if thinking is None:
        return record.independent.samples
    for plan, run in record.repeats[0].items():
        if plan.strategy == "best_of_n" and plan.thinking == thinking:
            return run.samples
    raise InputError("thinking", thinking, "it was not collected; collect it first")


def thought_on(
    pilots: Sequence[Sample], deep: Sequence[Sample], thinking: int | None
) -> tuple[list[Sample], int]:
    """Best-of-n's solutions after pilots of another depth, and the tokens of all of them.

    As `runtime.strategies.best_of_n` has it: a pilot whose answer was forced before the plan's
    depth thinks on, and its forced answer was in vain; any other pilot remains.

    Args:
        pilots: the first solutions, as the pilots have them.
        deep: all solutions, as the plan has them; the first are the same ones as the pilots.
        thinking: the plan's depth.
    """
    samples, tokens = list(deep), 0
    for place, pilot in enumerate(pilots):
        length = pilot.thinking or 0
        if not pilot.forced or (thinking is not None and length >= thinking):
            samples[place] = pilot
        else:
            tokens += pilot.tokens - length
    return samples, tokens + sum(sample.tokens for sample in samples)


def rotated(
    samples: Sequence[Sample], replicate: int, count: int, window: int, replicates: int
) -> list[Sample]:
    """The first of the window's solutions in a replicate's rotation."""
    shift = replicate * window // replicates
    return [samples[(i + shift) % window] for i in range(count)]


def mixed(given: tuple[ReplayPart, Sequence[Sequence[Plan]], int]) -> NDArray[np.float64]:
    """Accuracy, tokens and FLOPs, shape (prompts, replicates, 3), of a plan for each of them."""
    part, plans, pilots = given
    cells = [
        [part.one(record, r, plan, pilots) for r, plan in enumerate(of_record)]
        for record, of_record in zip(part.records, plans, strict=True)
    ]
    return np.array(cells, dtype=float)


def prepared(
    given: tuple[ReplayPart, Sequence[tuple[Plan, int]], Sequence[int]],
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """`mixed` for each plan and number of pilots, and features for each number of pilots."""
    part, plans, pilots = given
    shape = len(part.records), part.replicates
    outcomes = [mixed((part, [[plan] * shape[1]] * shape[0], paid)) for plan, paid in plans]
    return outcomes, [part.features(count) for count in pilots]


def adapted(given: tuple[ReplayPart, Schedule]) -> AdaptiveRuns:
    """Adaptive runs of every prompt and replicate."""
    part, schedule = given
    adaptive_runs = AdaptiveRuns.empty(len(part.records), part.replicates, len(schedule.stages))
    top = schedule.stages[-1]
    for row, record in enumerate(part.records):
        for replicate in range(part.replicates):
            searches = {}
            for search in top.searches:
                run = part.searched(record, replicate, search)
                searches[search] = Searched(draws_of(run.samples), run.sampled_tokens)
            drawn = draws_of(part.first(record, replicate, top.samples))
            replay_run(
                adaptive_runs,
                (row, replicate),
                schedule,
                record.prompt_tokens,
                record.gold,
                drawn,
                searches,
            )
    if part.sizes is None:
        return adaptive_runs
    each = part.sizes.sampling(1) + part.sizes.scoring(1)  # every token is scored once
    return replace(adaptive_runs, flops=adaptive_runs.tokens * each)


def _light(record: PromptRecord, window: int) -> PromptRecord:
    found: dict[int, Sample] = {}

    def light(run: PlanRun, count: int | None = None) -> PlanRun:
        samples = run.samples[:count]
        for sample in samples:
            if id(sample) not in found:
                # Of its steps only the number and the lengths are read.
                lengths = cast("Any", tuple(range(len(step)) for step in sample.steps))
                found[id(sample)] = replace(sample, steps=lengths, text="")
        return replace(run, samples=tuple(found[id(s)] for s in samples), correct=())

    repeats = [{plan: light(run) for plan, run in repeat.items()} for repeat in record.repeats]
    independent = light(record.independent, window)
    return replace(record, independent=independent, repeats=tuple(repeats))
