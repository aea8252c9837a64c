"""Samples, runs and records of prompts, invented here."""

from collections.abc import Sequence

from allocator.plan import Plan
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.sample import Sample
from runtime.result import Receipt, Result

SEARCH = Plan(strategy="beam_search", n=2, beam_width=2)


def make_sample(
    answer: str | None,
    score: float,
    steps: Sequence[Sequence[int]] = ((1, 2), (3,)),
    logprob: float = -1.0,
) -> Sample:
    """A sample with a given answer and final score."""
    return Sample(
        steps=tuple(tuple(step) for step in steps),
        text=f"#{answer}",
        answer=answer,
        step_scores=(*([0.5] * (len(steps) - 1)), score),
        score=score,
        logprob=logprob,
        ended=True,
    )


def make_result(prompt: str, answers: Sequence[str | None]) -> Result:
    """A prompt answered by best-of-N, with samples of these answers, best first."""
    samples = tuple(
        make_sample(answer, 0.9 / (1 + rank), logprob=-1.0 - rank)
        for rank, answer in enumerate(answers)
    )
    receipt = Receipt(
        plan=Plan(strategy="best_of_n", n=len(samples)),
        why="it was requested",
        prompt_tokens=5,
        generations=len(samples),
        sampled_tokens=3 * len(samples),
        cached_tokens=0,
        verifier_tokens=0,
        verifier_cached_tokens=0,
        seconds=0.1,
    )
    best = samples[0]
    return Result(
        prompt=prompt,
        answer=best.answer,
        solution=best.text,
        score=best.score,
        receipt=receipt,
        ranked=samples,
    )


def run_of(graded: list[bool], seed: int = 0) -> PlanRun:
    """Right solutions answer 1; wrong ones disagree, and score less. Three tokens each."""
    samples = tuple(
        make_sample("1", 0.75)
        if right
        else make_sample(f"wrong{i}", 0.25, steps=((1, 10 + i), (3,)))
        for i, right in enumerate(graded)
    )
    return PlanRun(samples, tuple(graded), 3 * len(samples), 0.5, seed)


def record(prompt: str, graded: list[bool], *searched: bool) -> PromptRecord:
    searches = {SEARCH: run_of(list(searched), seed=3)} if searched else {}
    return PromptRecord(prompt, "1", 7, run_of(graded, seed=9), (searches,))


def chain_run(graded: list[bool]) -> PlanRun:
    """Right attempts answer 1, wrong ones 2: by their scores, they could be either."""
    samples = tuple(make_sample("1" if right else "2", 0.5) for right in graded)
    return PlanRun(samples, tuple(graded), 3 * len(graded), 0.0, 7)


def graded_record(
    number: int, correct: list[bool], searches: dict[Plan, list[bool]]
) -> PromptRecord:
    """A prompt whose right answer is 1; wrong samples disagree with each other, and score less."""

    def as_run(graded: list[bool]) -> PlanRun:
        samples = tuple(
            make_sample("1" if right else f"wrong{i}", 0.8 if right else 0.3)
            for i, right in enumerate(graded)
        )
        return PlanRun(samples, tuple(graded), sum(sample.tokens for sample in samples))

    return PromptRecord(
        f"prompt {number}", "1", 5, as_run(correct), ({p: as_run(g) for p, g in searches.items()},)
    )
