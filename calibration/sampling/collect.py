"""Sampling a data set: independent solutions and searches of every prompt."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from allocator.errors import InputError
from allocator.plan import Plan
from calibration.sampling.journal import Journals
from predictors.sample import Sample
from predictors.scoring import Scoring
from runtime.concurrency import bounded, together
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.strategies import STRATEGIES

PROMPTS_IN_FLIGHT = 32
NOTED = 0.1  # share of samples without an answer of which the user is told


@dataclass(frozen=True)
class PlanRun:
    """What one plan produced on one prompt: its final samples and their cost.

    Attributes:
        samples: what the answer is selected from.
        correct: whether each is right.
        sampled_tokens: tokens sampled in all.
        seconds: wall time, while other prompts were sampled at the same time.
        seed: seed of the run; with the prompt and the plan it determines the samples.
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
        prompt_tokens: its length in tokens.
        independent: independent solutions, in the order in which they were drawn.
        repeats: what each of the other plans produced, without pilots: one dict per repeat, at
            least one, each with its own seed, for a single search says little about its plan. The
            first has all of the plans. The others lack those that cap the thoughts of the
            independent solutions, for these are capped alike whenever that is done.
    """

    prompt: str
    gold: str
    prompt_tokens: int
    independent: PlanRun
    repeats: tuple[dict[Plan, PlanRun], ...]

    @property
    def sampled_tokens(self) -> int:
        """All tokens sampled for the prompt."""
        runs = [self.independent, *(run for repeat in self.repeats for run in repeat.values())]
        return sum(run.sampled_tokens for run in runs)


@dataclass(frozen=True)
class Work:
    """What to sample of every prompt.

    Attributes:
        samples: independent solutions.
        plans: other plans to run: searches, revisions, and best-of-n that caps the thoughts of the
            independent solutions.
        scoring: how solutions are scored.
        seed: seed of all sampling.
        runs: how many times to run each of them, with consecutive seeds; those that cap thoughts
            are run once.
    """

    samples: int
    plans: tuple[Plan, ...]
    scoring: Scoring
    seed: int
    runs: int = 1


async def collect(
    models: Models,
    settings: RequestSettings,
    prompts: Sequence[tuple[str, str]],
    work: Work,
    done: Callable[[PromptRecord], None] = lambda _: None,
    journals: Journals | None = None,
) -> list[PromptRecord]:
    """Sample every prompt.

    Args:
        models: the models; `work` says how their solutions are scored.
        settings: how solutions are sampled.
        prompts: (prompt, gold answer) pairs.
        work: what to sample of each.
        done: called with each complete record.
        journals: keep the samples of unfinished prompts; None keeps nothing.

    Raises:
        InputError: a prompt that is empty or does not fit a context, before anything is sampled;
            or a verifier that returns NaN.
    """
    models = replace(models, scoring=work.scoring)
    lengths = {
        prompt: len(PromptRun(models, settings, prompt, work.seed).context.token_ids)
        for prompt, _ in prompts
    }

    async def one(item: tuple[str, str]) -> PromptRecord:
        prompt, gold = item
        target = _Target(prompt, gold, lengths[prompt])
        if journals is None:
            return await _collect_prompt(models, settings, target, work)
        with journals.recording(models, prompt) as recorded:
            return await _collect_prompt(recorded, settings, target, work)

    return await bounded(one, prompts, PROMPTS_IN_FLIGHT, done)


@dataclass(frozen=True)
class _Target:
    """A prompt, its gold answer, and its length in tokens."""

    prompt: str
    gold: str
    tokens: int


async def _collect_prompt(
    models: Models, settings: RequestSettings, target: _Target, work: Work
) -> PromptRecord:
    async def run_plan(plan: Plan, seed: int) -> PlanRun:
        """The plan's samples, not graded yet."""
        run, started = PromptRun(models, settings, target.prompt, seed), time.perf_counter()
        if plan.thinking:
            drawn = await capped(run, independent.samples[: plan.n], plan.thinking)
        else:
            drawn = await STRATEGIES[plan.strategy](run, plan, ())
        seconds = time.perf_counter() - started
        return PlanRun(tuple(drawn), (), run.cost.sampled_tokens, seconds, seed)

    independent = await run_plan(Plan(strategy="best_of_n", n=work.samples), work.seed)
    # Capped thoughts need no second run: they are of all independent solutions.
    repeated = [plan for plan in work.plans if plan.strategy != "best_of_n"]
    repeats = [list(work.plans), *[repeated] * (work.runs - 1)]
    drawn = [
        independent,
        *[
            await run_plan(plan, work.seed + repeat)
            for repeat, plans in enumerate(repeats)
            for plan in plans
        ],
    ]
    # Answers are canonicalized over all runs together, so that pilots can vote beside any beams.
    named = await _canonicalized(models, target.gold, [run.samples for run in drawn])
    graded = [
        replace(
            run,
            samples=tuple(found),
            correct=tuple(sample.answer == target.gold for sample in found),
        )
        for run, found in zip(drawn, named, strict=True)
    ]
    first, *others = graded
    found = iter(others)
    by_plan = tuple({plan: next(found) for plan in plans} for plans in repeats)
    return PromptRecord(target.prompt, target.gold, target.tokens, first, by_plan)


async def capped(run: PromptRun, samples: Sequence[Sample], cap: int) -> list[Sample]:
    """Solutions as they would be had their thoughts been ended at a cap.

    A solution that thought longer has its answer forced there, from its own tokens; any other is
    what it was.

    Args:
        run: the prompt.
        samples: its first independent solutions.
        cap: thinking tokens at most.
    """

    async def one(index: int, sample: Sample) -> Sample:
        if (sample.thinking or 0) <= cap:
            return sample
        return await run.continue_thought(sample, index, cap, kept=cap)

    return await together(one(index, sample) for index, sample in enumerate(samples))


async def _canonicalized(
    models: Models, gold: str, runs: Sequence[Sequence[Sample]]
) -> list[list[Sample]]:
    """The samples of each run with equal answers as equal strings, the gold answer's first."""
    answers = [sample.answer for samples in runs for sample in samples]
    _, *canonicalized = await models.answers.canonicalize_async([gold, *answers])
    names = iter(canonicalized)
    return [[sample.with_answer(next(names)) for sample in samples] for samples in runs]


def in_order(
    records: Sequence[PromptRecord], prompts: Sequence[tuple[str, str]]
) -> list[PromptRecord]:
    """The records in the order of the prompts."""
    by_prompt = {record.prompt: record for record in records}
    return [by_prompt[prompt] for prompt, _ in prompts]


def check_answers(records: Sequence[PromptRecord], answers: str) -> None:
    """Refuse records without a single right sample: the answers must be read wrongly.

    Args:
        records: graded records.
        answers: how answers were read, see `runtime.answers.answers_for`.

    Raises:
        InputError: no sample of any prompt is right.
    """
    correct = [right for record in records for right in record.independent.correct]
    if not any(correct):
        raise unmatched(answers, records[0].gold, records[0].independent.samples[0].answer)


def unanswered(records: Sequence[PromptRecord], max_tokens: int) -> Iterator[str]:
    """Notes for the user where many samples count as wrong for having no answer.

    Args:
        records: graded records.
        max_tokens: tokens that a solution had at most.
    """
    samples = [sample for record in records for sample in record.independent.samples]
    ended = [sample for sample in samples if sample.ended]
    if (cut := 1 - len(ended) / len(samples)) > NOTED:
        yield f"{cut:.0%} of the samples were cut off at {max_tokens} tokens; see --max-tokens"
    if ended and (lost := sum(s.answer is None for s in ended) / len(ended)) > NOTED:
        yield f"{lost:.0%} of the samples that ended have no answer; see --answers"


def unmatched(answers: str, gold: str, sampled: str | None) -> InputError:
    """The refusal of samples of which none is right.

    Args:
        answers: how answers were read.
        gold: the first prompt's right answer.
        sampled: an answer that was sampled of it; None where none was read.
    """
    return InputError(
        "answers",
        answers,
        "no sample of any prompt matched its answer; is 'answer' the bare answer, as this "
        f"reads it? (first prompt: expected {gold!r}, sampled {sampled!r})",
    )
