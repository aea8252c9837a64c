"""Requests that vLLM gives up: what it had sampled of them is no solution."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from allocator.errors import ModelError
from predictors.confidence import ConfidenceSettings, ConfidenceWindow
from runtime.engines.base import SamplingSettings
from runtime.engines.vllm import VLLMCompletions
from runtime.engines.vllm_core import VLLMCore
from runtime.verifiers.in_vllm import VLLMBackend
from runtime.verifiers.layout import Layout


class GivesUp:
    """A core of which every request has one output, the last.

    Args:
        outputs: vLLM's outputs in it.
    """

    alive = True

    def __init__(self, outputs: Any) -> None:
        config = SimpleNamespace(max_model_len=64, get_vocab_size=lambda: 8)
        self.engine = SimpleNamespace(
            model_config=config, vllm_config=SimpleNamespace(model_config=config)
        )
        self._outputs, self.requests = outputs, 0

    async def stream(
        self, token_ids: Sequence[int], params: Any, priority: int = 0
    ) -> AsyncGenerator[Any, None]:
        self.requests += 1
        yield SimpleNamespace(
            outputs=self._outputs, finished=True, num_cached_tokens=0, prompt_logprobs=None
        )

    def close(self) -> None:
        pass


def completions(reason: str) -> VLLMCompletions:
    from vllm.outputs import CompletionOutput

    ended = CompletionOutput(0, "", [5], log(0.5), None, finish_reason=reason)
    return VLLMCompletions(GivesUp([ended]), None, 64)


def complete(engine: VLLMCompletions, **how: Any) -> Coroutine[Any, Any, Any]:
    settings = SamplingSettings()
    return engine.complete([1, 2], settings=settings, max_tokens=4, seed=0, **how)


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_what_vllm_gave_up_is_no_solution(reason: str) -> None:
    engine, window = completions(reason), ConfidenceWindow(ConfidenceSettings(top=2, window=2))

    async def given_up() -> None:
        for work in (
            complete(engine),
            complete(engine, confidence=window),
            engine.text_logprobs([1, 2], 0),
        ):
            with pytest.raises(ModelError, match=f"the finish reason '{reason}'"):
                await work

    asyncio.run(given_up())


def test_what_ended_by_itself_or_at_its_length_is_one() -> None:
    for reason in ("stop", "length"):
        found = asyncio.run(complete(completions(reason)))
        assert (found.token_ids, found.ended) == ((5,), reason == "stop")


def test_a_reading_without_an_output_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    core = GivesUp(SimpleNamespace(data=torch.empty(0)))
    monkeypatch.setattr(VLLMCore, "start", lambda *_: core)
    family: Any = None
    backend = VLLMBackend(Path(), family, {})
    with pytest.raises(ModelError, match="verifier: vLLM ended the request without an output"):
        asyncio.run(backend.read(Layout((1, 2, 3), (2,))))
    assert core.requests == 2
