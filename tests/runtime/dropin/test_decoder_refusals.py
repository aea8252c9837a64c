"""What ComputeOptimalLLM refuses, by its name, before any work: prompts, params, artifacts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import StructuredOutputsParams

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, BASE, REVISER
from runtime.dropin.llm import ComputeOptimalLLM
from runtime.dropin.loading import find_artifact
from runtime.engines.loading import open_engine
from runtime.engines.transformers import TransformersEngine
from runtime.engines.vllm import VLLMEngine
from runtime.frontend.budget import default_budget
from runtime.models import Models
from tests.support.templates import FAULTS

PROMPT = "<user>12+7*3<assistant>"
CHAT = [{"role": "user", "content": "12+7*3"}]


@pytest.fixture(scope="module")
def llm() -> Iterator[ComputeOptimalLLM]:
    engine = TransformersEngine(BASE)
    with ComputeOptimalLLM.wrap(engine, ARTIFACT, budget=4) as llm:
        yield llm
    engine.close()


@pytest.mark.parametrize(
    "field",
    [
        {"presence_penalty": 0.5},
        {"frequency_penalty": 0.5},
        {"repetition_penalty": 1.1},
        {"detokenize": False},
        {"include_stop_str_in_output": True},
        {"extra_args": {"a": 1}},
        {"bad_words": ["7"]},
    ],
    ids=lambda field: next(iter(field)),
)
def test_what_cannot_be_honoured_is_refused_by_its_name(
    llm: ComputeOptimalLLM, field: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as refused:
        llm.generate(PROMPT, SamplingParams(**field))
    assert refused.value.field == next(iter(field))
    assert "leave it at" in refused.value.hint


def test_an_engine_that_is_not_vllm_holds_nothing_to_a_form(llm: ComputeOptimalLLM) -> None:
    params = SamplingParams(structured_outputs=StructuredOutputsParams(regex="1"))
    with pytest.raises(InputError, match=r"structured_outputs: .*the engine must be vLLM"):
        llm.generate(PROMPT, params)


@pytest.mark.parametrize(
    "field",
    [
        {"ignore_eos": True},
        {"min_tokens": 2},
        {"logprobs": 1},
        {"logprobs": 0},
        {"prompt_logprobs": 1},
        {"logprob_token_ids": [3]},
        {"logit_bias": {3: 1.0}},
        {"allowed_token_ids": [3]},
    ],
    ids=lambda field: next(iter(field)),
)
def test_an_engine_of_transformers_takes_no_options_of_tokens(
    llm: ComputeOptimalLLM, field: dict[str, Any]
) -> None:
    with pytest.raises(VLLMValidationError, match="only a vLLM engine") as refused:
        llm.generate(PROMPT, SamplingParams(**field))
    assert isinstance(refused.value, InputError)
    assert refused.value.field == next(iter(field))
    assert vars(refused.value)["parameter"] == refused.value.field


def test_thoughts_of_a_model_without_any_are_not_capped(llm: ComputeOptimalLLM) -> None:
    for budget in (0, 9):
        with pytest.raises(InputError, match=f"thinking_token_budget: {budget}: .*have thoughts"):
            llm.generate(PROMPT, SamplingParams(thinking_token_budget=budget))


def test_a_field_of_a_later_vllm_is_refused(llm: ComputeOptimalLLM) -> None:
    class Later(SamplingParams):
        novelty: int = 0

    llm.generate(PROMPT, Later(max_tokens=3), use_tqdm=False, budget=1)
    with pytest.raises(InputError, match="novelty: 7"):
        llm.generate(PROMPT, Later(max_tokens=3, novelty=7))


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (7, "prompts"),
        ([7.5], "prompts"),
        ([[]], "prompts"),
        ({}, "prompts"),
        ({"prompt": 7}, "prompt"),
        ({"prompt_token_ids": []}, "prompt_token_ids"),
        ({"prompt_token_ids": [3, 10**6]}, "prompt_token_ids"),
        ([[3, -1]], "prompt_token_ids"),
        ({"prompt": "1", "multi_modal_data": {"image": 1}}, "multi_modal_data"),
        ({"prompt_token_ids": [3], "token_type_ids": [0]}, "token_type_ids"),
        ({"prompt": "1", "cache_salt": "x"}, "cache_salt"),
        (np.array([1.0, 2.0]), "prompts"),
        (np.array([True, False]), "prompts"),
        (np.array([[3, -1]]), "prompt_token_ids"),
        (pd.Series(["1", None]), "prompts"),
        (b"1", "prompts"),
        ("", "prompt"),
        ("1+" * 300, "prompt"),
    ],
)
def test_prompts_that_are_none(llm: ComputeOptimalLLM, prompt: Any, field: str) -> None:
    with pytest.raises(InputError) as refused:
        llm.generate(prompt)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("messages", "options", "field"),
    [
        ([[]], {}, "messages[0]"),
        (["1"], {}, "messages[0]"),
        (7, {}, "messages"),
        (CHAT[0], {}, "messages"),
        ([{"content": "1"}], {}, "messages[0].role"),
        ([{"role": "user", "content": [{"type": "text"}]}], {}, "messages[0].content[0].text"),
        ([CHAT, [*CHAT, 7]], {}, "messages[1][1]"),
        ([CHAT, [{"role": "user", "content": 7}]], {}, "messages[1][0].content"),
        *((CHAT, {"chat_template": template}, "messages") for template in FAULTS),
        (CHAT, {"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs.tokenize"),
        (CHAT, {"chat_template_kwargs": {"tools": [1]}}, "chat_template_kwargs.tools"),
        (CHAT, {"chat_template_kwargs": 7}, "chat_template_kwargs"),
        (
            CHAT,
            {"chat_template_kwargs": {"reasoning_effort": "low"}},
            "chat_template_kwargs.reasoning_effort",
        ),
        (CHAT, {"chat_template_kwargs": {7: 7}}, "chat_template_kwargs"),
        (CHAT, {"continue_final_message": True}, "continue_final_message"),
        (CHAT, {"tools": [{"type": "function"}]}, "tools[0].function"),
        (CHAT, {"tools": {"type": "function"}}, "tools"),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "add"}}]}, "tools"),
        (CHAT, {"chat_template_content_format": "openai"}, "chat_template_content_format"),
        (CHAT, {"lora_request": 1}, "lora_request"),
        (CHAT, {"priority": 1}, "priority"),
        (CHAT, {"priority": [0, 1]}, "priority"),
        (CHAT, {"priority": []}, "priority"),
        (CHAT, {"priority": True}, "priority"),
        (CHAT, {"tokenization_kwargs": {"truncation": True}}, "tokenization_kwargs"),
        (CHAT, {"mm_processor_kwargs": {"a": 1}}, "mm_processor_kwargs"),
        (CHAT, {"budget": 0}, "budget"),
        (CHAT, {"budget": 2.5}, "budget"),
        (CHAT, {"total_budget": 0}, "total_budget"),
        (CHAT, {"budget": 2, "total_budget": 2}, "budget"),
        (CHAT, {"deadline": 0}, "deadline"),
        (CHAT, {"deadline": float("nan")}, "deadline"),
        (CHAT, {"deadline": "soon"}, "deadline"),
        (CHAT, {"total_budget": 2, "deadline": 1.0}, "deadline"),
        (CHAT, {"sampling_params": 7}, "sampling_params"),
    ],
)
def test_chats_that_cannot_be_answered(
    llm: ComputeOptimalLLM, messages: Any, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as refused:
        llm.chat(messages, **options)
    assert refused.value.field == field


def test_what_python_cannot_write_is_refused_by_its_name(llm: ComputeOptimalLLM) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    huge = 10**5000
    for prompts in ([huge], {"prompt_token_ids": [huge]}):
        with pytest.raises(InputError, match="prompt_token_ids: <int>: token ids are 0 to"):
            llm.generate(prompts)
    for prompts in (deep, {"prompt": deep}, {"prompt_token_ids": deep}):
        with pytest.raises(InputError, match=r"^prompt"):
            llm.generate(prompts)
    for name in ("budget", "total_budget", "deadline", "priority"):
        with pytest.raises(InputError, match=f"{name}: <int>: "):
            llm.generate(PROMPT, **{name: huge})
    for name, value in (("max_tokens", huge), ("top_k", huge), ("stop_token_ids", [huge])):
        with pytest.raises(InputError, match=rf"{name}: <int>: "):
            llm.generate(PROMPT, SamplingParams(**{name: value}))
    with pytest.raises(InputError, match=r"messages: .*the chat template fails"):
        llm.chat(CHAT, chat_template="{{ x }}", chat_template_kwargs={"x": huge})


@pytest.mark.parametrize("stop", ["7<end>", "<user>1"])
def test_a_stop_text_of_a_special_token_and_more_is_refused(
    llm: ComputeOptimalLLM, stop: str
) -> None:
    with pytest.raises(InputError, match=r"stop: .*give the special token alone"):
        llm.generate(PROMPT, SamplingParams(stop=stop, skip_special_tokens=False))


def test_only_vllm_has_an_engine_of_vllms(llm: ComputeOptimalLLM) -> None:
    assert not hasattr(llm, "llm_engine")


def test_an_artifact_belongs_to_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TTC_ARTIFACT", raising=False)
    assert find_artifact(ARTIFACT, None).folder == ARTIFACT
    assert find_artifact(BASE, ARTIFACT).folder == ARTIFACT
    with pytest.raises(InputError, match="or set TTC_ARTIFACT"):
        find_artifact(BASE, None)
    monkeypatch.setenv("TTC_ARTIFACT", str(ARTIFACT))
    assert find_artifact(str(BASE), None).folder == ARTIFACT
    assert find_artifact(ARTIFACT, None).folder == ARTIFACT
    with pytest.raises(InputError, match=r"model: .*was calibrated for"):
        find_artifact(REVISER, None)
    with pytest.raises(InputError, match=r"is an artifact itself; leave this out"):
        find_artifact(ARTIFACT, ARTIFACT)


def test_the_default_budget_is_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TTC_BUDGET", raising=False)
    assert (default_budget(3), default_budget(None)) == (3, 16)
    monkeypatch.setenv("TTC_BUDGET", "8")
    assert (default_budget(3), default_budget(None)) == (3, 8)
    for bad in ("0", "many", "-1", "", "1_0", "+5", " 16 ", "１６", "1e1", "5.0", "9" * 5000):
        monkeypatch.setenv("TTC_BUDGET", bad)
        with pytest.raises(InputError, match="TTC_BUDGET"):
            default_budget(None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"budget": 0}, "budget"),
        ({"seed": -1}, "seed"),
        ({"revision": "main"}, "revision"),
        ({"no_such_thing": 1}, "no_such_thing"),
        ({"verifier_args": {"no_such_thing": 1}}, "no_such_thing"),
        ({"reviser_args": {"seed": 1}}, "reviser_args"),
        ({"quantization": "fp8"}, "artifact model"),
    ],
)
def test_it_is_not_made_of_what_cannot_be(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refused:
        ComputeOptimalLLM.from_pretrained(ARTIFACT, **options)
    assert refused.value.field == field


def test_arguments_of_vllms_engine_are_for_no_other() -> None:
    with (
        pytest.raises(InputError, match="tensor_parallel_size: 2: an argument of vLLM's engine"),
        open_engine(BASE, "transformers", tensor_parallel_size=2),
    ):
        pass


def test_engines_that_cannot_be_wrapped(vllm_models: Models) -> None:
    assert isinstance(vllm_models.engine, VLLMEngine)
    for engine in (vllm_models.engine, vllm_models.engine._core.engine):
        with pytest.raises(
            InputError, match=r"it is bound to its event loop; wrap it in ttc_allocator\.AsyncLLM"
        ):
            ComputeOptimalLLM.wrap(engine, ARTIFACT)
    with pytest.raises(InputError, match=r"no_such_thing: 1: .*\(verifier_args\)"):
        ComputeOptimalLLM.wrap(7, ARTIFACT, verifier_args={"no_such_thing": 1})
    with pytest.raises(InputError, match=r"engine: 'int'"):
        ComputeOptimalLLM.wrap(7, ARTIFACT)
