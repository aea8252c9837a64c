"""What the drop-ins refuse may be caught as vLLM's errors, wherever it is refused."""

import asyncio
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, BASE
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.dropin.llm import ComputeOptimalLLM
from runtime.dropin.vllm_errors import vllm_errors
from tests.support.thinking import thinker
from tests.support.token_budgets import unverified

DROP_INS = [ComputeOptimalLLM, AsyncComputeOptimalLLM]


def refused(call: Callable[[], Any], match: str) -> None:
    with pytest.raises(VLLMValidationError, match=match) as caught:
        call()
    assert isinstance(caught.value, InputError)
    assert vars(caught.value)["parameter"] == caught.value.field


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_of_constructors(drop_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TTC_ARTIFACT", raising=False)
    refused(lambda: drop_in(str(BASE)), "artifact: None: give the artifact")
    refused(lambda: drop_in(ARTIFACT, budget=0), "budget: 0: must be an integer")
    refused(lambda: drop_in.from_pretrained(ARTIFACT, budget=0), "budget: 0: must be an integer")
    refused(lambda: drop_in.from_pretrained(BASE / "none"), "none")
    refused(lambda: drop_in.wrap(object(), ARTIFACT), r"engine: 'object': must be a vllm\.LLM")


@pytest.mark.parametrize(
    ("prompt", "options", "match"),
    [
        ("U:?A:", {"deadline": 0}, "deadline: 0: must be a positive number"),
        ("U:?A:", {"budget_tokens": 7}, "must be at least 50 tokens"),
        ("U:?A:", {"average_tokens": 1}, "must be at least 9 tokens"),
        ("x" * 2000, {}, "leave no room in the context of 1000"),
    ],
    ids=["deadline", "budget_tokens", "average_tokens", "length"],
)
def test_of_prompts_that_are_solved(prompt: str, options: dict[str, Any], match: str) -> None:
    params = SamplingParams(max_tokens=5)

    async def generated() -> None:
        async with AsyncComputeOptimalLLM.wrap(thinker(30), unverified(), budget=2) as llm:
            async for _ in llm.generate(prompt, params, "1", **options):
                pass

    refused(lambda: asyncio.run(generated()), match)
    with ComputeOptimalLLM.wrap(thinker(30), unverified(), budget=2) as llm:
        refused(lambda: llm.generate(prompt, params, use_tqdm=False, **options), match)


def test_without_vllm_they_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError) as caught, vllm_errors():
        raise InputError("engine", "vllm", "install it")
    assert type(caught.value) is InputError
