"""Thoughts under vLLM's `LLM`: budgets, efforts and switches; the outputs keep vLLM's shape."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from vllm import SamplingParams

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import Artifact
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.dropin.llm import ComputeOptimalLLM
from tests.support.thinking import EFFORTFUL, END, SWITCHED, TEMPLATE, ScriptedThinker, thinker

LETTERS = 30
PROMPT, CHAT = "U:?A:", [{"role": "user", "content": "?"}]
LONG = SamplingParams(max_tokens=150)


def artifact() -> Artifact:
    """The testbed's, without a verifier: it could not read this model's tokens."""
    found = Artifact.load(ARTIFACT)
    return replace(found, settings=found.settings.model_copy(update={"verifier": None}))


@pytest.fixture(scope="module")
def engine() -> ScriptedThinker:
    return thinker(LETTERS)


@pytest.fixture(scope="module")
def llm(engine: ScriptedThinker) -> Iterator[ComputeOptimalLLM]:
    with ComputeOptimalLLM.wrap(engine, artifact(), budget=1) as llm:
        yield llm


def answered(llm: ComputeOptimalLLM, params: Any = LONG, **options: Any) -> Any:
    (output,) = llm.generate(PROMPT, params, use_tqdm=False, **options)
    return output


def chatted(llm: ComputeOptimalLLM, params: Any = LONG, **options: Any) -> Any:
    (output,) = llm.chat(CHAT, params, use_tqdm=False, **options)
    return output


def text(letters: int) -> str:
    return f"<think>\n{'a' * letters}\n</think>\n\n#{letters}\n{END}"


def test_the_text_is_whole_and_the_thought_stands_beside_it(llm: ComputeOptimalLLM) -> None:
    output = answered(llm)
    assert output.outputs[0].text == text(30)
    assert output.reasoning == (f"\n{'a' * 30}\n",)
    assert output.receipt.thinking_tokens == 32
    assert output.notes == ()


@pytest.mark.parametrize(("budget", "letters"), [(11, 10), (21, 20), (50, 30), (-1, 30)])
def test_a_budget_of_sampling_params_caps_thoughts(
    llm: ComputeOptimalLLM, budget: int, letters: int
) -> None:
    output = answered(llm, SamplingParams(max_tokens=150, thinking_token_budget=budget))
    assert output.outputs[0].text == text(letters)
    assert output.receipt.forced_thoughts == (letters < LETTERS)
    assert output.receipt.thinking_cap == (None if budget < 0 else budget)


def test_every_prompt_has_its_own_budget(llm: ComputeOptimalLLM) -> None:
    params = [SamplingParams(max_tokens=150, thinking_token_budget=cap) for cap in (0, 11)]
    outputs = llm.generate([PROMPT, PROMPT], params, use_tqdm=False)
    assert [output.outputs[0].text for output in outputs] == [
        f"<think>\n\n</think>\n\n#0\n{END}",
        text(10),
    ]


def test_several_outputs_have_their_thoughts(llm: ComputeOptimalLLM) -> None:
    params = SamplingParams(max_tokens=150, thinking_token_budget=11, n=2)
    output = answered(llm, params, budget=8)
    assert [completion.text for completion in output.outputs] == [text(10)] * 2
    assert output.reasoning == (f"\n{'a' * 10}\n",) * 2


@pytest.mark.parametrize("template", [TEMPLATE, SWITCHED], ids=["no switch", "switch"])
@pytest.mark.parametrize(
    "variables", [{"enable_thinking": False}, {"reasoning_effort": "none"}], ids=str
)
def test_a_chat_without_thought(
    llm: ComputeOptimalLLM, engine: ScriptedThinker, template: str, variables: dict[str, Any]
) -> None:
    output = chatted(llm, chat_template=template, chat_template_kwargs=variables)
    assert output.outputs[0].text.endswith(f"#0\n{END}")
    assert engine.requests[-1][0] == "<think>\n\n</think>\n\n"
    assert output.receipt.thinking_cap == 0


def test_an_effort_is_a_cap_or_the_templates(llm: ComputeOptimalLLM) -> None:
    effort = {"reasoning_effort": "minimal"}
    assert chatted(llm, chat_template_kwargs=effort).receipt.thinking_cap == 512
    params = SamplingParams(max_tokens=150, thinking_token_budget=11)
    assert chatted(llm, params, chat_template_kwargs=effort).outputs[0].text == text(10)
    told = chatted(llm, chat_template=EFFORTFUL, chat_template_kwargs=effort)
    assert told.prompt == "minimal U:?A:"
    assert told.receipt.thinking_cap is None
    with pytest.raises(InputError, match=r"chat_template_kwargs\.reasoning_effort: 'much'"):
        chatted(llm, chat_template_kwargs={"reasoning_effort": "much"})


@pytest.mark.parametrize("special", [False, True])
def test_a_stop_text_within_a_thought_cuts_nothing(llm: ComputeOptimalLLM, special: bool) -> None:
    params = SamplingParams(max_tokens=150, stop=["aa", "0"], skip_special_tokens=not special)
    (completion,) = answered(llm, params).outputs
    assert completion.text == f"<think>\n{'a' * 30}\n</think>\n\n#3"
    assert (completion.finish_reason, completion.stop_reason) == ("stop", "0")


def test_a_thought_that_has_not_ended_is_cut_at_no_stop_text(llm: ComputeOptimalLLM) -> None:
    params = SamplingParams(max_tokens=20, stop=["aa"], skip_special_tokens=False)
    (completion,) = answered(llm, params).outputs
    assert completion.text == "<think>\n" + "a" * 18
    assert completion.finish_reason == "length"


def test_the_asynchronous_drop_in_caps_thoughts(engine: ScriptedThinker) -> None:
    params = SamplingParams(max_tokens=150, thinking_token_budget=11)

    async def last() -> Any:
        async with AsyncComputeOptimalLLM.wrap(engine, artifact(), budget=1) as llm:
            return [output async for output in llm.generate(PROMPT, params, "one")][-1]

    output = asyncio.run(last())
    assert output.outputs[0].text == text(10)
    assert output.reasoning == (f"\n{'a' * 10}\n",)
