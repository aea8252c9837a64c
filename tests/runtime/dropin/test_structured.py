"""Structured outputs and tools as callers of vLLM's `LLM` and `AsyncLLM` ask for them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.sampling_params import StructuredOutputsParams

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import Artifact
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.dropin.llm import ComputeOptimalLLM
from runtime.dropin.vllm_params import PromptParams, vllm_options
from runtime.frontend.answer_form import AnswerForm, CallFormat
from runtime.frontend.call_syntax import TextCalls
from runtime.models import Models
from tests.support.prompts import RAW
from tests.support.structured import Says, tool, unverified

ONE = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
SAME = '<tool_call>{"name": "add", "arguments": {"a": 1.0}}</tool_call>'
TWO = '<tool_call>{"name": "add", "arguments": {"a": 2}}</tool_call>'
CHAT = [{"role": "user", "content": "1+2"}]


def test_solutions_are_held_to_structured_outputs(run: Any, vllm_models: Models) -> None:
    async def outputs() -> list[Any]:
        llm = AsyncComputeOptimalLLM.wrap(vllm_models.engine, ARTIFACT, budget=8, seed=5)
        held = StructuredOutputsParams(regex="#[0-9]{2}")
        params = SamplingParams(structured_outputs=held, max_tokens=20, n=4)
        found = [output async for output in llm.generate(RAW[0], params, "one")]
        llm.shutdown()
        return found

    last = run(outputs())[-1]
    assert len(last.outputs) == 4
    for output in last.outputs:
        assert re.fullmatch("#[0-9]{2}", output.text)
    assert last.receipt.plan.strategy == "best_of_n"
    assert last.notes[-1].startswith("solutions are held to structured_outputs")


@pytest.mark.parametrize(
    ("structured", "fields", "reading"),
    [
        ({"json": {"type": "integer"}}, {"json": {"type": "integer"}}, "json"),
        ({"json_object": True}, {"json_object": True}, "json"),
        ({"choice": ["a", "b"]}, {"choice": ["a", "b"]}, "text"),
        ({"grammar": "root ::= 1"}, {"grammar": "root ::= 1"}, "task"),
        (
            {"regex": "1", "disable_any_whitespace": True},
            {"regex": "1", "disable_any_whitespace": True},
            "task",
        ),
    ],
)
def test_what_is_set_is_handed_on(structured: Any, fields: Any, reading: str) -> None:
    models, calibrated = unverified(Says(ONE)), Artifact.load(ARTIFACT).settings.sampling
    params = SamplingParams(structured_outputs=StructuredOutputsParams(**structured))
    form = vllm_options(PromptParams(params), calibrated, models, 4).request.settings.form
    assert form.constraint is not None
    assert (form.constraint.field, form.constraint.fields) == ("structured_outputs", fields)
    assert form.reading == reading
    calls = AnswerForm(calls=CallFormat(("add",), TextCalls()))
    both = vllm_options(
        PromptParams(params), calibrated, models, 4, form=calls
    ).request.settings.form
    assert (both.constraint, both.calls) == (form.constraint, calls.calls)


@pytest.fixture(scope="module")
def llm() -> Iterator[ComputeOptimalLLM]:
    artifact = Artifact.load(ARTIFACT)
    settings = artifact.settings.model_copy(update={"verifier": None, "reviser": None})
    engine = Says(TWO, ONE, SAME, "#3")
    with ComputeOptimalLLM.wrap(engine, replace(artifact, settings=settings), budget=8) as llm:
        yield llm


def test_a_chat_with_tools_votes_on_calls(llm: ComputeOptimalLLM) -> None:
    params = SamplingParams(max_tokens=100, n=3)
    (output,) = llm.chat(CHAT, params, tools=[tool("add")], use_tqdm=False)
    first, *others = [each.text for each in output.outputs]
    assert first in (ONE, SAME)
    assert set(others) == {TWO, "#3"}
    assert '"name": "add"' in output.prompt
    (plain,) = llm.chat(CHAT, params, use_tqdm=False)
    assert "add" not in plain.prompt
    assert plain.outputs[0].text == "#3"  # the only one with an answer


def test_a_chat_says_how_calls_are_written_and_voted_on(llm: ComputeOptimalLLM) -> None:
    def best(**how: Any) -> list[str]:
        params = SamplingParams(max_tokens=100, n=2)
        (output,) = llm.chat(CHAT, params, tools=[tool("add")], use_tqdm=False, **how)
        return [each.text for each in output.outputs]

    assert best(tool_parser="pythonic")[0] == "#3"  # the others are no calls then
    first, second = best(tool_vote="name")
    assert (first in (ONE, SAME, TWO), second) == (True, "#3")
    assert best(tool_parser="qwen3_json", tool_vote="each")[0] in (ONE, SAME)


@pytest.mark.parametrize(
    ("how", "field", "hint"),
    [
        ({"tools": [tool("add")], "tool_parser": "lama"}, "tool_parser", "or of vLLM's"),
        ({"tools": [tool("add")], "tool_vote": "all"}, "tool_vote", "call, each, name"),
        ({"tool_vote": "name"}, "tool_vote", "there are no tools"),
    ],
)
def test_what_says_nothing_of_calls_is_refused(
    llm: ComputeOptimalLLM, how: Any, field: str, hint: str
) -> None:
    with pytest.raises(InputError, match=hint) as error:
        llm.chat(CHAT, use_tqdm=False, **how)
    assert error.value.field == field
