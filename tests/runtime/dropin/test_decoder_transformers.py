"""transformers' generate with the compute each prompt deserves."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, GenerationMixin

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, BASE
from runtime.dropin.llm import ComputeOptimalLLM
from runtime.dropin.transformers import ComputeOptimalGeneration, ComputeOptimalModel
from runtime.dropin.unanswered import UnansweredError
from runtime.engines.transformers import TransformersEngine
from runtime.result import Failure, Result
from tests.support.prompts import RAW

WITHOUT_VLLM = """
import sys
sys.modules["vllm"] = None  # importing it fails
import torch
import runtime.dropin.llm, runtime.dropin.async_llm
from runtime.dropin.transformers import ComputeOptimalModel

model = ComputeOptimalModel.from_pretrained(sys.argv[1], budget=2)
ids = torch.tensor([model.tokenizer.encode("<user>12+7*3<assistant>")])
print(model.tokenizer.decode(model.generate(ids, do_sample=False, budget=1)[0]))
"""


@pytest.fixture(scope="module")
def model() -> Iterator[ComputeOptimalModel]:
    with ComputeOptimalModel.from_pretrained(ARTIFACT, budget=4, seed=5) as model:
        yield model


@pytest.fixture
def inputs(tokenizer: Any) -> dict[str, torch.Tensor]:
    """Prompts of unequal length, padded on the left."""
    batch = tokenizer(RAW, return_tensors="pt", padding=True, padding_side="left")
    assert 0 in batch["attention_mask"]
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.slow
def test_it_generates_what_the_llm_does(
    model: ComputeOptimalModel, inputs: dict[str, torch.Tensor], tokenizer: Any
) -> None:
    sequences = model.generate(**inputs, max_new_tokens=160)
    assert isinstance(sequences, torch.Tensor)
    engine = TransformersEngine(BASE)
    with ComputeOptimalLLM.wrap(engine, ARTIFACT, budget=4, seed=5) as llm:
        # The verifier's text is the prompt decoded, as it is for token ids there.
        outputs = llm.generate([tokenizer.encode(raw) for raw in RAW], use_tqdm=False)
    engine.close()
    width = inputs["input_ids"].shape[1]
    assert sequences.dtype == torch.long
    assert torch.equal(sequences[:, :width], inputs["input_ids"])
    for row, output in zip(sequences[:, width:].tolist(), outputs, strict=True):
        ids = list(output.outputs[0].token_ids)
        assert row == ids + [tokenizer.pad_token_id] * (len(row) - len(ids))


@pytest.mark.slow
def test_greedy_is_as_transformers_generates(
    model: ComputeOptimalModel, inputs: dict[str, torch.Tensor]
) -> None:
    ours = model.generate(**inputs, do_sample=False, max_new_tokens=50, budget=1)
    theirs = AutoModelForCausalLM.from_pretrained(BASE).generate(
        **inputs, do_sample=False, max_new_tokens=50
    )
    assert torch.equal(ours, theirs)


@pytest.mark.slow
def test_padding_is_told_by_the_mask_or_by_the_pad_token(
    model: ComputeOptimalModel, inputs: dict[str, torch.Tensor]
) -> None:
    masked = model.generate(**inputs)
    assert torch.equal(masked, model.generate(inputs["input_ids"]))
    right = {name: tensor.flip(1) for name, tensor in inputs.items()}
    with pytest.raises(InputError, match="prompts must be padded on their left"):
        model.generate(**right)


def test_a_calls_own_pad_token_tells_padding(model: ComputeOptimalModel, tokenizer: Any) -> None:
    ids, (own,) = tokenizer.encode("12+7="), tokenizer.encode("#")
    padded = torch.tensor([[own, own, *ids]])
    greedy = {"do_sample": False, "max_new_tokens": 12, "budget": 1}
    found = model.generate(padded, pad_token_id=own, return_dict_in_generate=True, **greedy)
    assert isinstance(found, ComputeOptimalGeneration)
    assert found.receipts[0].prompt_tokens == len(ids)
    alone = model.generate(torch.tensor([ids]), **greedy)
    assert isinstance(alone, torch.Tensor)
    assert torch.equal(found.sequences[:, 2:], alone)
    # In transformers, too, a token that ends solutions tells no padding.
    end = model.generate(
        padded, pad_token_id=tokenizer.eos_token_id, return_dict_in_generate=True, **greedy
    )
    assert isinstance(end, ComputeOptimalGeneration)
    assert end.receipts[0].prompt_tokens == len(ids) + 2


@pytest.mark.slow
def test_several_sequences_are_a_prompts_best_with_its_receipt(
    model: ComputeOptimalModel, inputs: dict[str, torch.Tensor]
) -> None:
    found = model.generate(
        **inputs, num_return_sequences=2, return_dict_in_generate=True, pad_token_id=3
    )
    assert isinstance(found, ComputeOptimalGeneration)
    width = inputs["input_ids"].shape[1]
    assert torch.equal(found.sequences[::2, :width], inputs["input_ids"])
    assert torch.equal(found.sequences[1::2, :width], inputs["input_ids"])
    assert [receipt.budget for receipt in found.receipts] == [4] * 3
    assert set(found.sequences[:, -1].tolist()) <= {3, model.tokenizer.eos_token_id}
    first = model.generate(**inputs, pad_token_id=3)
    assert isinstance(first, torch.Tensor)
    longest = min(first.shape[1], found.sequences.shape[1])
    assert torch.equal(found.sequences[::2, :longest], first[:, :longest])


@pytest.mark.slow
def test_where_a_model_fails_the_other_generations_are_kept(
    model: ComputeOptimalModel, inputs: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    solve_all = model._thread.solve_all

    def failing(*arguments: Any) -> list[Result | Failure]:
        first, second, third = solve_all(*arguments)
        return [first, Failure(prompt=second.prompt, error="engine: it broke"), third]

    whole = model.generate(**inputs)
    assert isinstance(whole, torch.Tensor)
    monkeypatch.setattr(model._thread, "solve_all", failing)
    with pytest.raises(UnansweredError, match="1 of 3 prompts: engine: it broke") as failed:
        model.generate(**inputs)
    assert failed.value.failed == {1: "engine: it broke"}
    for row, generation in zip((0, 2), failed.value.outputs, strict=True):
        (sequence,) = generation.sequences
        assert torch.equal(sequence, whole[row, : len(sequence)])
        assert generation.receipts[0].budget == 4


@pytest.mark.slow
def test_settings_come_from_a_config_and_arguments_come_first(
    model: ComputeOptimalModel, inputs: dict[str, torch.Tensor]
) -> None:
    width = inputs["input_ids"].shape[1]
    config = GenerationConfig(max_new_tokens=5, do_sample=True, temperature=0.7)
    found = model.generate(**inputs, generation_config=config, return_dict_in_generate=True)
    assert isinstance(found, ComputeOptimalGeneration)
    assert found.sequences.shape[1] == width + 5
    assert found.notes == ("temperature is 0.7; the table was calibrated at temperature 1.0",)
    shorter = model.generate(**inputs, generation_config=config, max_new_tokens=3)
    assert shorter.shape[1] == width + 3
    own = GenerationConfig.from_pretrained(BASE)
    assert torch.equal(model.generate(**inputs, generation_config=own), model.generate(**inputs))
    greedy = model.generate(
        **inputs, do_sample=False, top_p=0.5, budget=1, return_dict_in_generate=True
    )
    assert isinstance(greedy, ComputeOptimalGeneration)
    assert greedy.notes == ("top_p: not used, because do_sample is False",)


def test_it_is_called_as_transformers_is(model: ComputeOptimalModel, tokenizer: Any) -> None:
    ids = torch.tensor([tokenizer.encode("12+7=")])
    config = GenerationConfig(max_new_tokens=5, do_sample=False)
    expected = model.generate(input_ids=ids, generation_config=config, budget=1)
    assert torch.equal(model.generate(ids, config, budget=1), expected)
    assert torch.equal(model.generate(inputs=ids, generation_config=config, budget=1), expected)
    theirs = list(inspect.signature(GenerationMixin.generate).parameters)[:3]
    assert list(inspect.signature(ComputeOptimalModel.generate).parameters)[:3] == theirs


def test_a_total_is_shared(model: ComputeOptimalModel, inputs: dict[str, torch.Tensor]) -> None:
    found = model.generate(**inputs, total_budget=7, return_dict_in_generate=True)
    assert isinstance(found, ComputeOptimalGeneration)
    assert 3 <= sum(receipt.generations for receipt in found.receipts) <= 7


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_length": 90}, "max_length"),
        ({"num_beams": 2}, "num_beams"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"stop_strings": ["7"]}, "stop_strings"),
        ({"streamer": object()}, "streamer"),
        ({"eos_token_id": 7}, "eos_token_id"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 2**31}, "max_new_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": 2**31}, "top_k"),
        ({"temperature": -1.0}, "temperature"),
        ({"num_return_sequences": 0}, "num_return_sequences"),
        ({"num_return_sequences": 9, "budget": 8}, "num_return_sequences"),
        ({"budget": 0}, "budget"),
        ({"pad_token_id": "x"}, "pad_token_id"),
        ({"attention_mask": torch.ones(1, 1)}, "attention_mask"),
        ({"input_ids": torch.tensor([1, 2])}, "input_ids"),
        ({"input_ids": [[1, 2]]}, "input_ids"),
        ({"input_ids": torch.tensor([[1.0, 2.0]])}, "input_ids"),
        ({"attention_mask": [[1, 1]]}, "attention_mask"),
        ({"generation_config": GenerationConfig(num_beams=4)}, "num_beams"),
        ({"generation_config": torch.ones(3, 9)}, "generation_config"),
        ({"inputs": torch.tensor([[1, 2]])}, "inputs"),
        ({"inputs": torch.tensor([1, 2]), "input_ids": None}, "inputs"),
        ({"input_ids": None}, "input_ids"),
        ({"token_type_ids": torch.ones(3, 9)}, "token_type_ids"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    model: ComputeOptimalModel,
    inputs: dict[str, torch.Tensor],
    options: dict[str, Any],
    field: str,
) -> None:
    with pytest.raises(InputError) as refused:
        model.generate(**(inputs | options))
    assert refused.value.field == field


@pytest.mark.slow
def test_what_says_nothing_is_fine(
    model: ComputeOptimalModel, inputs: dict[str, torch.Tensor]
) -> None:
    neutral = {"num_beams": 1, "use_cache": True, "repetition_penalty": 1.0, "streamer": None}
    ends = {"eos_token_id": model.tokenizer.eos_token_id, "output_scores": False}
    assert torch.equal(model.generate(**inputs, **neutral, **ends), model.generate(**inputs))


@pytest.mark.slow
def test_it_needs_no_vllm_and_ends_with_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_VLLM, str(ARTIFACT)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path.cwd(),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("<user>12+7*3<assistant>12+7=19")
