"""Engines that read confidence, against their own model's logits."""

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.testbed.paths import BASE, SETTINGS
from predictors.confidence import ConfidenceSettings, ConfidenceWindow
from runtime.engines.base import Completion, Engine, HasConfidence, encode_prompt
from runtime.engines.openai import OpenAIEngine
from runtime.engines.transformers import TransformersEngine
from runtime.models import Models

PROMPTS = ("12+7*3", "347+58*7-91", "5-2")
READ = ConfidenceSettings(top=5, window=4)


async def completed(
    engine: Any, prompt: str, window: ConfidenceWindow | None, seed: int = 3, **how: Any
) -> Completion:
    own = {} if window is None else {"confidence": window}
    found: Completion = await engine.complete(
        encode_prompt(engine, prompt),
        settings=SETTINGS.sampling,
        max_tokens=60,
        seed=seed,
        **how,
        **own,
    )
    return found


def by_hand(engine: Engine, prompt: str, written: Completion, top: int) -> list[float]:
    """The confidence of each token, from one pass over prompt and completion."""
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()
    ids = [*encode_prompt(engine, prompt), *written.token_ids]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].double().numpy()
    at = logits[len(ids) - len(written.token_ids) - 1 : -1]
    logprobs = at - np.log(np.exp(at).sum(1, keepdims=True))
    return [float(value) for value in -np.sort(logprobs, axis=1)[:, -top:].mean(1)]


def of_all(
    engine: Any, confidence: ConfidenceSettings
) -> list[tuple[ConfidenceWindow, Completion]]:
    """All prompts at once."""

    async def both() -> list[tuple[ConfidenceWindow, Completion]]:
        windows = [ConfidenceWindow(confidence) for _ in PROMPTS]
        calls = [completed(engine, p, w) for p, w in zip(PROMPTS, windows, strict=True)]
        return list(zip(windows, await asyncio.gather(*calls), strict=True))

    return asyncio.run(both())


def test_transformers_reads_what_its_logits_say(transformers_engine: TransformersEngine) -> None:
    found = of_all(transformers_engine, READ)
    for prompt, (window, written) in zip(PROMPTS, found, strict=True):
        values = by_hand(transformers_engine, prompt, written, READ.top)
        assert window.values.tolist() == pytest.approx(values, abs=2e-3)
        means = np.convolve(values, np.ones(READ.window) / READ.window, "valid")
        assert window.lowest == pytest.approx(means.min(), abs=2e-3)
        assert window.lowest_at == means.argmin() + READ.window
        assert not written.aborted


def test_more_of_the_likeliest_than_there_are_tokens_are_all(
    transformers_engine: TransformersEngine,
) -> None:
    size = transformers_engine.max_confidence_top
    assert size == len(transformers_engine.tokenizer)
    (window, written), *_ = of_all(transformers_engine, ConfidenceSettings(top=size + 10))
    values = by_hand(transformers_engine, PROMPTS[0], written, size)
    assert window.values.tolist() == pytest.approx(values, abs=2e-3)


def test_reading_changes_nothing_of_what_is_sampled(
    transformers_engine: TransformersEngine,
) -> None:
    async def alone() -> Completion:
        return await completed(transformers_engine, PROMPTS[0], None)

    unread, (_, read) = asyncio.run(alone()), of_all(transformers_engine, READ)[0]
    assert (read.token_ids, read.ended) == (unread.token_ids, unread.ended)
    assert read.logprob == pytest.approx(unread.logprob, abs=1e-4)


def check_aborted(engine: Any, run: Any) -> None:
    """A threshold just above the lowest mean ends a solution where that window ends."""
    whole = ConfidenceWindow(READ)
    written = run(completed(engine, PROMPTS[1], whole))
    assert written.ended
    threshold = whole.lowest + 1e-3
    window = ConfidenceWindow(READ.model_copy(update={"threshold": threshold}))
    aborted = run(completed(engine, PROMPTS[1], window))
    assert (aborted.aborted, aborted.ended, aborted.stopped_by) == (True, False, None)
    assert aborted.token_ids == written.token_ids[: whole.lowest_at]
    assert window.lowest == pytest.approx(whole.lowest, abs=2e-3)
    assert written.logprob < aborted.logprob < 0
    # Nothing of it is left in the engine: the next one is whole.
    assert run(completed(engine, PROMPTS[1], None)).token_ids == written.token_ids


def test_transformers_ends_a_lost_solution(transformers_engine: TransformersEngine) -> None:
    with asyncio.Runner() as runner:
        check_aborted(transformers_engine, runner.run)


def test_servers_do_not_say_that_they_read_it() -> None:
    assert hasattr(TransformersEngine, "max_confidence_top")
    assert not hasattr(OpenAIEngine, "max_confidence_top")


def test_vllm_ends_a_lost_solution_where_transformers_does(run: Any, vllm_models: Models) -> None:
    check_aborted(vllm_models.engine, run)


@pytest.mark.parametrize("threshold", [None, 0.0], ids=["at the end", "streamed"])
@pytest.mark.parametrize("stop", [(), ("=nowhere=",)], ids=["tokens", "texts"])
def test_vllm_reads_what_transformers_does(
    run: Any, vllm_models: Models, threshold: float | None, stop: tuple[str, ...]
) -> None:
    engine = vllm_models.engine
    assert isinstance(engine, HasConfidence)
    confidence = ConfidenceSettings(window=4, threshold=threshold)

    async def several() -> list[tuple[ConfidenceWindow, Completion]]:
        windows = [ConfidenceWindow(confidence) for _ in PROMPTS]
        calls = [
            completed(engine, prompt, window, stop=stop)
            for prompt, window in zip(PROMPTS, windows, strict=True)
        ]
        return list(zip(windows, await asyncio.gather(*calls), strict=True))

    for prompt, (window, written) in zip(PROMPTS, run(several()), strict=True):
        unread = run(completed(engine, prompt, None))
        assert written.token_ids == unread.token_ids
        assert written.logprob == pytest.approx(unread.logprob, abs=1e-3)
        values = by_hand(engine, prompt, written, confidence.top)
        assert window.values.tolist() == pytest.approx(values, abs=2e-2)
