"""Budgets in tokens under vLLM's `LLM` and `AsyncLLM`."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from vllm import SamplingParams

from allocator.errors import InputError
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.dropin.llm import ComputeOptimalLLM
from tests.support.thinking import ScriptedThinker, thinker
from tests.support.token_budgets import unverified

PROMPT = "U:?A:"
LONG = SamplingParams(max_tokens=150)
GREEDY = SamplingParams(temperature=0, max_tokens=150)
SAME = "at temperature 0 all solutions of a prompt would be the same"


@pytest.fixture(scope="module")
def engine() -> ScriptedThinker:
    return thinker(30)


@pytest.fixture(scope="module")
def llm(engine: ScriptedThinker) -> Iterator[ComputeOptimalLLM]:
    with ComputeOptimalLLM.wrap(engine, unverified(), budget=1) as llm:
        yield llm


def answered(llm: ComputeOptimalLLM, **options: Any) -> Any:
    (output,) = llm.generate(PROMPT, LONG, use_tqdm=False, **options)
    return output


def test_the_table_in_tokens_says_how_deep(llm: ComputeOptimalLLM) -> None:
    receipt = answered(llm, budget_tokens=60).receipt
    assert (receipt.plan.n, receipt.plan.thinking, receipt.budget_tokens) == (2, 11, 60)
    assert receipt.forced_thoughts == 2


def test_an_average_of_tokens_is_spent_by_price(llm: ComputeOptimalLLM) -> None:
    dear, cheap = (answered(llm, average_tokens=tokens).receipt for tokens in (900, 9))
    assert dear.sampled_tokens > 4 * cheap.sampled_tokens
    assert (dear.plan.thinking, cheap.plan.thinking) == (None, 11)


def test_several_solutions_need_a_budget_in_generations(llm: ComputeOptimalLLM) -> None:
    two = SamplingParams(max_tokens=150, n=2)
    with pytest.raises(InputError, match="allows one solution per prompt; give a budget"):
        llm.generate(PROMPT, two, use_tqdm=False, budget_tokens=60)
    with pytest.raises(InputError, match="give one of"):
        answered(llm, budget=4, budget_tokens=60)
    with pytest.raises(InputError, match="budget_tokens: 7: must be at least 50 tokens"):
        answered(llm, budget_tokens=7)
    with pytest.raises(InputError, match="average_tokens: '900': must be a number"):
        answered(llm, average_tokens="900")


@pytest.mark.parametrize("budget", [{"budget_tokens": 60}, {"average_tokens": 900}])
def test_thoughts_that_would_be_the_same_are_sampled_as_calibrated(
    engine: ScriptedThinker, llm: ComputeOptimalLLM, budget: dict[str, int]
) -> None:
    engine.temperatures.clear()
    (output,) = llm.generate(PROMPT, GREEDY, use_tqdm=False, **budget)
    assert output.receipt.generations > 1
    assert set(engine.temperatures) == {1.0}
    assert SAME in output.notes[0]


def test_the_asynchronous_one_does_so_too(engine: ScriptedThinker) -> None:
    async def last() -> Any:
        llm = AsyncComputeOptimalLLM.wrap(engine, unverified(), budget=1)
        found = None
        async for output in llm.generate(PROMPT, GREEDY, "1", budget_tokens=60):
            found = output
        return found

    output = asyncio.run(last())
    assert output.receipt.plan.thinking == 11
    assert SAME in output.notes[0]
