"""Thoughts in real vLLM: its own cap, the cap by two requests, and what a deeper thought costs."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.testbed.task import Problem
from benchmarks.thinking.gain import in_two_requests
from benchmarks.thinking.paths import SETTINGS
from benchmarks.thinking.task import problems
from predictors.sample import Sample
from runtime.engines.base import HasThinkingBudget
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from tests.support.running import Run

CAP = 40
BLOCK = 32  # tokens of a prefix block on CPU
PROBLEMS = [problem for problem, _ in zip(problems("test", 7), range(60), strict=False)]


def started(models: Models, problem: Problem, **settings: Any) -> PromptRun:
    return PromptRun(models, RequestSettings(SETTINGS.sampling, **settings), problem.text, 0)


async def drawn(models: Models, count: int, cap: int | None) -> list[list[Sample]]:
    runs = [started(models, problem) for problem in PROBLEMS]
    return list(await asyncio.gather(*(r.samples(0, count, thinking=cap) for r in runs)))


def accuracy(found: list[list[Sample]]) -> np.ndarray[Any, Any]:
    return np.array(
        [
            np.mean([sample.answer == problem.answer for sample in samples])
            for samples, problem in zip(found, PROBLEMS, strict=True)
        ]
    )


def test_vllm_ends_thoughts_itself(run: Run[Any], thinking_models: Models) -> None:
    engine = thinking_models.engine
    assert isinstance(engine, HasThinkingBudget)
    assert thinking_models.marks is not None
    assert engine.cutoff == thinking_models.marks.cutoff


@pytest.mark.parametrize("two", [False, True], ids=["vllm", "two requests"])
def test_a_cap_holds_to_the_token(run: Run[Any], thinking_models: Models, two: bool) -> None:
    models = in_two_requests(thinking_models) if two else thinking_models
    samples = [sample for samples in run(drawn(models, 2, CAP)) for sample in samples]
    forced = [sample for sample in samples if sample.forced]
    assert len(forced) > len(samples) / 4
    assert {sample.thinking for sample in forced} == {CAP}
    assert max(sample.thinking or 0 for sample in samples) <= CAP
    assert np.mean([sample.answer is not None for sample in forced]) > 0.9
    assert all(sample.text.startswith("<think>\n") for sample in samples)
    # vLLM ends a thought once more that ends by itself right at the cap.
    assert np.mean([sample.text.count("</think>") > 1 for sample in samples]) < 0.05


def test_both_ways_to_cap_are_equally_accurate(run: Run[Any], thinking_models: Models) -> None:
    native = accuracy(run(drawn(thinking_models, 8, CAP)))
    two = accuracy(run(drawn(in_two_requests(thinking_models), 8, CAP)))
    # Of eight samples each: four standard errors of the mean difference.
    spread = np.sqrt(native * (1 - native) / 8 + two * (1 - two) / 8 + 1 / 64)
    assert abs(native.mean() - two.mean()) < 4 * np.sqrt((spread**2).sum()) / len(PROBLEMS)


def test_a_request_without_thought_has_none(run: Run[Any], thinking_models: Models) -> None:
    samples = [sample for found in run(drawn(thinking_models, 1, 0)) for sample in found]
    assert {sample.thinking for sample in samples} == {None}
    assert np.mean([sample.answer is not None for sample in samples]) > 0.9


def test_a_deeper_thought_is_read_from_the_prefix_cache(
    run: Run[Any], thinking_models: Models
) -> None:
    """What has been thought is not read again, but for the last block of the cache."""
    deepened = 0
    for problem in PROBLEMS[:20]:
        prompt = started(thinking_models, problem)
        sample = run(prompt.sample(0, 3 * BLOCK))
        if not sample.forced:
            continue
        before = prompt.cost.cached_tokens
        deeper = run(prompt.think_on(sample, 0, 5 * BLOCK))
        known = len(prompt.context.token_ids) + len(prompt_prefix(sample))
        assert prompt.cost.cached_tokens - before >= known - BLOCK
        assert deeper.token_ids[: len(prompt_prefix(sample))] == prompt_prefix(sample)
        deepened += 1
    assert deepened >= 5


def prompt_prefix(sample: Sample) -> tuple[int, ...]:
    """The start of its thought, and as much of it as was thought."""
    return sample.token_ids[: 1 + (sample.thinking or 0)]


def test_stops_sleep_within_a_thought(run: Run[Any], thinking_models: Models) -> None:
    for problem in PROBLEMS[:5]:
        sample = run(started(thinking_models, problem, stops=("#",)).sample(0))
        assert sample.reasoning is not None
        assert "#" in sample.reasoning
        assert sample.answer is None
        assert sample.content is None or "#" not in sample.content


def test_settings_of_the_benchmark_hold(tmp_path: Path) -> None:
    assert SETTINGS.marks(tmp_path) is not None
