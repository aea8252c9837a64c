"""Sampling a data set: independent solutions of every prompt, and every search of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from allocator.errors import InputError
from allocator.plan import Plan
from calibration.sampling.journal import Journals
from predictors.sample import Sample
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.solving.concurrency import bounded
from runtime.solving.model_calls import Cost
from runtime.strategies import STRATEGIES

PROMPTS_IN_FLIGHT = 32


@dataclass(frozen=True)
class Run:
    """What one plan produced on one prompt: its final samples and what they cost.

    Attributes:
        samples: what the answer is selected from.
        correct: whether each is right.
        sampled_tokens: tokens sampled in all.
        seconds: wall time, while other prompts ran beside it.
        seed: the run's; with the prompt and the plan it determines the samples.
    """

    samples: tuple[Sample, ...]
    correct: tuple[bool, ...]
    sampled_tokens: int
    seconds: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class PromptRecord:
    """Everything sampled of one graded prompt.

    Attributes:
        prompt: its text.
        gold: the right answer.
        prompt_tokens: its length.
        independent: independent solutions; their order is the order they were drawn in.
        searches: what each searching or revising plan produced, pilots not among it.
        again: the same plans run again, each time with another seed: what one search of a prompt
            produces is luck, and plans are compared by it.
    """

    prompt: str
    gold: str
    prompt_tokens: int
    independent: Run
    searches: dict[Plan, Run]
    again: tuple[dict[Plan, Run], ...] = ()

    @property
    def turns(self) -> tuple[dict[Plan, Run], ...]:
        """What the searches produced, one turn after the other."""
        return self.searches, *self.again

    @property
    def sampled_tokens(self) -> int:
        """Tokens sampled of the prompt in all."""
        runs = [self.independent, *(run for turn in self.turns for run in turn.values())]
        return sum(run.sampled_tokens for run in runs)

    @classmethod
    def unsearched(cls, prompt: str, prompt_tokens: int, drawn: Sequence[Sample]) -> "PromptRecord":
        """A record of ungraded independent solutions alone: enough to read features from."""
        tokens = sum(sample.tokens for sample in drawn)
        return cls(prompt, "", prompt_tokens, Run(tuple(drawn), (), tokens), {})


async def collect(
    models: Models,
    settings: RequestSettings,
    prompts: Sequence[tuple[str, str]],
    samples: int,
    searches: Callable[[str, int, Sequence[Sample]], Sequence[Plan]],
    seed: int,
    done: Callable[[PromptRecord], None] = lambda _: None,
    runs: int = 1,
    journals: Journals | None = None,
) -> list[PromptRecord]:
    """Sample every prompt.

    Args:
        models: the models.
        settings: how solutions are sampled.
        prompts: (prompt, gold answer) pairs.
        samples: independent solutions a prompt.
        searches: other plans to run on a prompt, given its text, its length in tokens and
            its independent solutions.
        seed: seed of all sampling.
        done: called with each record as it is complete.
        runs: how often to run each of the other plans, with one seed after the other.
        journals: keep what is sampled of prompts that are not finished; None keeps nothing.

    Raises:
        InputError: a prompt that is empty or does not fit a context, before anything is sampled;
            or a verifier that returns NaN.
    """
    lengths = {p: len(PromptRun(models, settings, p, seed).context.token_ids) for p, _ in prompts}

    async def one(item: tuple[str, str]) -> PromptRecord:
        if journals is None:
            return await sampled(models, *item)
        with journals.recording(models, item[0]) as recorded:
            return await sampled(recorded, *item)

    async def sampled(models: Models, prompt: str, gold: str) -> PromptRecord:
        async def run_plan(plan: Plan, seed: int) -> tuple[list[Sample], Cost, float, int]:
            run, started = PromptRun(models, settings, prompt, seed), time.perf_counter()
            drawn = await STRATEGIES[plan.strategy](run, plan, ())
            return drawn, run.cost, time.perf_counter() - started, seed

        independent, cost, taken, _ = await run_plan(Plan(strategy="best_of_n", n=samples), seed)
        _, *first = await models.answers.canonicalized([gold, *(s.answer for s in independent)])
        independent = [s.with_answer(a) for s, a in zip(independent, first, strict=True)]
        plans = searches(prompt, lengths[prompt], independent)
        found = [
            (independent, cost, taken, seed),
            *[await run_plan(plan, seed + turn) for turn in range(runs) for plan in plans],
        ]
        # Answers are unified over all runs together, so that pilots can vote beside any beams.
        drawn = [sample for run_samples, *_ in found for sample in run_samples]
        _, *canonicalized = await models.answers.canonicalized([gold, *(s.answer for s in drawn)])
        names = iter(canonicalized)
        drawn_runs = []
        for run_samples, cost, seconds, seed_ in found:
            named = tuple(s.with_answer(next(names)) for s in run_samples)
            correct = tuple(s.answer == gold for s in named)
            drawn_runs.append(Run(named, correct, cost.sampled_tokens, seconds, seed_))
        turns = [
            dict(zip(plans, drawn_runs[1 + turn * len(plans) :], strict=False))
            for turn in range(runs)
        ]
        return PromptRecord(
            prompt, gold, lengths[prompt], drawn_runs[0], turns[0], tuple(turns[1:])
        )

    return await bounded(one, prompts, PROMPTS_IN_FLIGHT, done)


def in_order(
    records: Sequence[PromptRecord], prompts: Sequence[tuple[str, str]]
) -> list[PromptRecord]:
    """The records in the order of the prompts."""
    found = {record.prompt: record for record in records}
    return [found[prompt] for prompt, _ in prompts]


def check_answers(records: Sequence[PromptRecord], answers: str) -> None:
    """Refuse records of which nothing is right: the answers are read wrongly.

    Args:
        records: graded records.
        answers: how answers were read, see `runtime.answers.answers_for`.

    Raises:
        InputError: no sample of any prompt is right.
    """
    correct = [right for record in records for right in record.independent.correct]
    if not any(correct):
        raise InputError(
            "answers",
            answers,
            "no sample of any prompt matched its answer; is 'answer' the bare answer, as this "
            f"reads it? (first prompt: expected {records[0].gold!r}, sampled "
            f"{records[0].independent.samples[0].answer!r})",
        )
