"""Thoughts in real vLLM: how they are capped, and what a deeper thought costs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.testbed.task import Problem
from benchmarks.thinking.paths import SETTINGS
from benchmarks.thinking.task import problems
from predictors.sample import Sample
from runtime.concurrency import together
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
    return await together(r.samples(0, count, thinking=cap) for r in runs)


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
    prompt_runs = [
        PromptRun(thinking_models, settings, p.text, 0, (*encode_prompt(engine, p.text), *begun))
        for p in PROBLEMS[:10]
    ]
    samples = run(together(r.sample(0, CAP) for r in prompt_runs))
    forced = [sample for sample in samples if sample.forced]
    assert len(forced) > 2
    assert {sample.thinking for sample in forced} == {CAP}
    assert all(sample.text.count("</think>") == 1 for sample in forced)


def test_a_cap_leaves_an_answer_alone(run: Run[Any], thinking_models: Models) -> None:
    """A thought that ends just before its cap, so that the answer goes beyond it."""
    freely = run(together(started(thinking_models, p).sample(0, 200) for p in PROBLEMS[:20]))
    compared = [
        (problem, free, free.thinking + 2)
        for problem, free in zip(PROBLEMS, freely, strict=False)
        if free.ended and not free.forced and free.thinking is not None
    ]
    assert len(compared) >= 5
    closely = run(together(started(thinking_models, p).sample(0, cap) for p, _, cap in compared))
    for (_, free, _), close in zip(compared, closely, strict=True):
        assert (close.forced, close.thinking) == (False, free.thinking)
        assert close.reasoning == free.reasoning
        assert close.text.count("</think>") == 1


def test_a_request_without_thought_has_none(run: Run[Any], thinking_models: Models) -> None:
    samples = [sample for found in run(drawn(thinking_models, 1, 0)) for sample in found]
    assert {sample.thinking for sample in samples} == {None}
    assert np.mean([sample.answer is not None for sample in samples]) > 0.9


def test_a_deeper_thought_is_read_from_the_prefix_cache(
    run: Run[Any], thinking_models: Models
) -> None:
    """What has been thought is not read again, but for the last block of the cache."""
    prompts = [started(thinking_models, problem) for problem in PROBLEMS[:20]]
    samples = run(together(prompt.sample(0, 3 * BLOCK) for prompt in prompts))
    forced = [(p, sample) for p, sample in zip(prompts, samples, strict=True) if sample.forced]
    assert len(forced) >= 5
    before = [prompt.cost.cached_tokens for prompt, _ in forced]
    deeper = run(together(prompt.continue_thought(s, 0, 5 * BLOCK) for prompt, s in forced))
    for (prompt, sample), cached, deep in zip(forced, before, deeper, strict=True):
        known = len(prompt.context.token_ids) + len(prompt_prefix(sample))
        assert prompt.cost.cached_tokens - cached >= known - BLOCK
        assert deep.token_ids[: len(prompt_prefix(sample))] == prompt_prefix(sample)


def prompt_prefix(sample: Sample) -> tuple[int, ...]:
    """The start of its thought, and as much of it as was thought."""
    return sample.token_ids[: 1 + (sample.thinking or 0)]


def test_stops_sleep_within_a_thought(run: Run[Any], thinking_models: Models) -> None:
    prompts = [started(thinking_models, problem, stops=("#",)) for problem in PROBLEMS[:5]]
    for sample in run(together(prompt.sample(0) for prompt in prompts)):
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
