"""Measure the testbed: how difficulty spreads over the test set, and how good its models are.

    python -m benchmarks.testbed.measure

Samples every test prompt 256 times, writes the prompts with their pass@1 (the oracle difficulty
that the demo reads) to data/test.jsonl, and `out/testbed.json`. No model has seen a test prompt in
training.
"""

import asyncio
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from allocator.plan import Plan
from benchmarks.targets import at_least, at_most, between, show_targets, write_result
from benchmarks.testbed.paths import REQUEST_SETTINGS, REVISING, SETTINGS, TEST_PROMPTS
from benchmarks.testbed.task import Problem, distinct_problems
from calibration.progress import progress
from calibration.replay.curves import interval, resamples
from calibration.report.targets import Interval, Target, reported
from calibration.sampling.collect import Work, collect
from runtime.concurrency import bounded, sharing_cores
from runtime.models import Models, open_models
from runtime.prompt_run import PromptRun

TEST_SEED, SAMPLING_SEED = 3, 5
PROMPTS = 220
SAMPLES = 256
CHAINS = Plan(strategy="revisions", n=16, length=4)


async def measure(models: Models, problem: Problem) -> tuple[list[float], list[float], list[bool]]:
    """Scores, log-probabilities and correctness of all samples."""
    run = PromptRun(models, REQUEST_SETTINGS, problem.text, SAMPLING_SEED)
    samples = await run.samples(0, SAMPLES)
    correct = [s.answer == problem.answer for s in samples]
    return [s.score for s in samples], [s.logprob for s in samples], correct


def calibration_error(scores: NDArray[np.float64], correct: NDArray[np.float64]) -> float:
    """Expected calibration error over ten equal-width bins of the score."""
    bins = np.clip((scores * 10).astype(int), 0, 9)
    gaps = [
        abs(scores[bins == b].mean() - correct[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def auc_within_prompts(correct: NDArray[np.float64], values: NDArray[np.float64]) -> Interval:
    """AUC within a prompt, averaged over the prompts with right and wrong samples."""
    mixed = np.flatnonzero((correct.mean(axis=1) > 0) & (correct.mean(axis=1) < 1))
    each = np.array([roc_auc_score(correct[i], values[i]) for i in mixed])
    return interval(each[resamples(len(each))].mean(axis=1))


async def run() -> list[Target]:
    problems = distinct_problems("test", PROMPTS, TEST_SEED)
    # On CPU the transformers engine samples this size faster than vLLM does.
    async with open_models(SETTINGS, Path(), "transformers") as models:
        with progress("Measuring test prompts", PROMPTS) as done:
            measured = await bounded(lambda p: measure(models, p), problems, 16, done)
    scores, logprobs, correct = (
        np.array(part, dtype=float) for part in zip(*measured, strict=True)
    )
    pass_at_1 = correct.mean(axis=1)
    with TEST_PROMPTS.open("w") as file:
        for problem, rate in zip(problems, pass_at_1, strict=True):
            row = {"prompt": problem.text, "answer": problem.answer, "pass_at_1": float(rate)}
            file.write(json.dumps(row) + "\n")

    draws = resamples(PROMPTS)
    spread = np.sort(pass_at_1[draws], axis=1)[:, ::-1]
    quintiles = [part.mean(axis=1) for part in np.array_split(spread, 5, axis=1)]
    # The AUC's bootstrap is costly: a tenth of the draws is enough for its interval.
    auc = np.array([roc_auc_score(correct[d].ravel(), scores[d].ravel()) for d in draws[::10]])
    error = np.array(
        [calibration_error(scores[d].ravel(), correct[d].ravel()) for d in draws[::10]]
    )
    return [
        between("mean pass@1", interval(pass_at_1[draws].mean(axis=1)), 0.3, 0.6),
        at_least("pass@1 of the easiest quintile", interval(quintiles[0]), 0.8),
        *(
            at_least(
                f"pass@1 of quintile {i + 1} above the next",
                interval(quintiles[i] - quintiles[i + 1]),
                0.01,
            )
            for i in range(4)
        ),
        between("pass@1 of the hardest quintile", interval(quintiles[4]), 0.01, 0.25),
        reported("AUC of the PRM's last step", interval(auc)),
        at_least(
            "the same AUC within a prompt, averaged over prompts",
            auc_within_prompts(correct, scores),
            0.95,
        ),
        reported(
            "AUC within a prompt of the log-probability", auc_within_prompts(correct, logprobs)
        ),
        at_most("calibration error of the PRM's last step", interval(error), 0.03),
    ]


async def revised() -> list[Target]:
    """Chains of revisions, each attempt scored by the ORM that sees those before it."""
    prompts = [(p.text, p.answer) for p in distinct_problems("test", PROMPTS, TEST_SEED)]
    async with open_models(REVISING, Path(), "transformers") as models:
        with progress("Measuring revisions", PROMPTS) as done:
            work = Work(1, (CHAINS,), models.scoring, SAMPLING_SEED)
            records = await collect(models, REQUEST_SETTINGS, prompts, work, done)
    runs = [record.repeats[0][CHAINS] for record in records]
    scores = np.array([[sample.score for sample in run.samples] for run in runs])
    correct = np.array([run.correct for run in runs], dtype=float)
    attempts = correct.reshape(PROMPTS, -1, CHAINS.length)
    draws = resamples(PROMPTS)
    along = attempts.mean(axis=1)[draws].mean(axis=1)
    before, after = attempts[:, :, :-1], attempts[:, :, 1:]
    turned = [
        (now * (1 - then)).sum(axis=(1, 2)) for now, then in ((before, after), (after, before))
    ]
    wrong, right = (counts[draws].sum(axis=1) for counts in turned)
    return [
        *(
            reported(f"pass@1 of attempt {place + 1} of a chain", interval(along[:, place]))
            for place in range(CHAINS.length)
        ),
        at_least(
            "the fourth attempt's above the first's", interval(along[:, -1] - along[:, 0]), 0.05
        ),
        at_most(
            "right attempts that a revision turns wrong, to one that it turns right",
            interval(wrong / right),
            1,
        ),
        at_least(
            "AUC within a prompt of the reviser's ORM", auc_within_prompts(correct, scores), 0.9
        ),
    ]


def main() -> None:
    with sharing_cores():
        targets = [*asyncio.run(run()), *asyncio.run(revised())]
    show_targets(targets)
    data = {"prompts": PROMPTS, "samples": SAMPLES, "seed": SAMPLING_SEED}
    write_result(Path("out/testbed.json"), data, targets)


if __name__ == "__main__":
    main()
