"""Thoughts in real vLLM: how they are capped, and what a deeper thought costs."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.testbed.task import Problem
from benchmarks.thinking.paths import SETTINGS
from benchmarks.thinking.task import problems
from predictors.sample import Sample
from runtime.engines import vllm_requests
from runtime.engines.base import encode_prompt
from runtime.engines.token_options import TokenOptions
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.solutions.beam import Beam
from tests.support.running import Run

CAP = 40
BLOCK = 32  # tokens of a prefix block on CPU
PROBLEMS = [problem for problem, _ in zip(problems("test", 7), range(60), strict=False)]


def started(models: Models, problem: Problem, **settings: Any) -> PromptRun:
    return PromptRun(models, RequestSettings(SETTINGS.sampling, **settings), problem.text, 0)


async def drawn(models: Models, count: int, cap: int | None) -> list[list[Sample]]:
    runs = [started(models, problem) for problem in PROBLEMS]
    return list(await asyncio.gather(*(r.samples(0, count, thinking=cap) for r in runs)))


def test_a_cap_holds_to_the_token(run: Run[Any], thinking_models: Models) -> None:
    samples = [sample for found in run(drawn(thinking_models, 2, CAP)) for sample in found]
    forced = [sample for sample in samples if sample.forced]
    assert len(forced) > len(samples) / 4
    assert {sample.thinking for sample in forced} == {CAP}
    assert max(sample.thinking or 0 for sample in samples) <= CAP
    assert np.mean([sample.answer is not None for sample in forced]) > 0.9
    assert all(sample.text.startswith("<think>\n") for sample in samples)


def test_a_cap_holds_where_the_prompt_has_begun_the_thought(
    run: Run[Any], thinking_models: Models
) -> None:
    engine = thinking_models.engine
    settings, begun = RequestSettings(SETTINGS.sampling), engine.tokenizer.encode("<think>\n")
    samples = []
    for problem in PROBLEMS[:10]:
        ids = (*encode_prompt(engine, problem.text), *begun)
        prompt_run = PromptRun(thinking_models, settings, problem.text, 0, ids)
        samples.append(run(prompt_run.sample(0, CAP)))
    forced = [sample for sample in samples if sample.forced]
    assert len(forced) > 2
    assert {sample.thinking for sample in forced} == {CAP}
    assert all(sample.text.count("</think>") == 1 for sample in forced)


def test_a_cap_leaves_an_answer_alone(run: Run[Any], thinking_models: Models) -> None:
    """A thought that ends just before its cap, so that the answer goes beyond it."""
    compared = 0
    for problem in PROBLEMS[:20]:
        free = run(started(thinking_models, problem).sample(0, 200))
        if free.forced or free.thinking is None or not free.ended:
            continue
        close = run(started(thinking_models, problem).sample(0, free.thinking + 2))
        assert (close.forced, close.thinking) == (False, free.thinking)
        assert close.reasoning == free.reasoning
        assert close.text.count("</think>") == 1
        compared += 1
    assert compared >= 5


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


def test_a_beam_whose_thought_repeats_itself_is_not_extended_again(
    run: Run[Any], thinking_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_requests, "LONG", 100)
    engine = thinking_models.engine
    (one,) = engine.tokenizer.encode("1", add_special_tokens=False)
    settings = RequestSettings(SETTINGS.sampling, tokens=TokenOptions(allowed_token_ids=(one,)))
    text = PROBLEMS[0].text
    ids = (*encode_prompt(engine, text), *engine.tokenizer.encode("<think>\n"))
    prompt_run = PromptRun(thinking_models, settings, text, 0, ids)
    beam = run(prompt_run.extend(Beam(), ("beam", 0)))
    assert beam.steps == ((one,) * 264,)
    assert prompt_run.max_tokens > 100
    assert (beam.stopped, beam.ended) == (True, False)


def test_settings_of_the_benchmark_hold(tmp_path: Path) -> None:
    assert SETTINGS.marks(tmp_path) is not None
