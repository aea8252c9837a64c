"""Every family of verifiers, with a tiny model of its architecture made here, against by hand."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from allocator.errors import InputError
from runtime.verifiers.families import recognise
from runtime.verifiers.loading import open_verifier
from tests.support.checkpoints import LINES, MARKS, PROMPT, SHAPE, own_tokenizer, save, solution


def scores(folder: Path, tokenizer: Any, family: Any = "auto") -> tuple[float, ...]:
    verifier = open_verifier(folder, tokenizer, family, engine="transformers")
    found = asyncio.run(verifier.score(*solution(tokenizer))).step_scores
    verifier.close()
    return found


@torch.no_grad()
def states(model: Any, text: str) -> tuple[list[int], torch.Tensor]:
    """Token ids of a text and the backbone's last hidden states."""
    ids = own_tokenizer().encode(text)
    return ids, model.model(input_ids=torch.tensor([ids])).last_hidden_state[0]


@torch.no_grad()
def test_qwen_prm_is_read_at_its_marks(tokenizer: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(own_tokenizer()), **SHAPE)).eval()
    head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    save(model, tmp_path, "Qwen2ForProcessRewardModel", head, "score.")
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    text = f"<sys>{system}<user>{PROMPT}<assistant>" + "".join(f"{s}<extra_0>" for s in LINES)
    ids, hidden = states(model, text)
    marks = [i for i, token in enumerate(ids) if token == MARKS.index("<extra_0>")]
    expected = head(hidden).softmax(-1)[marks, 1].tolist()
    assert len(marks) == len(LINES)
    assert scores(tmp_path, tokenizer) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_skywork_prm_is_read_at_line_ends(tokenizer: Any, tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(own_tokenizer()), **SHAPE)).eval()
    head = nn.Linear(64, 1)
    save(model, tmp_path, "Qwen2ForPrmModel", head, "v_head.summary.")
    ids, hidden = states(model, "\n".join([PROMPT, *LINES, ""]))
    ends = [i for i, token in enumerate(ids) if own_tokenizer().decode([token]) == "\n"][1:]
    expected = head(hidden)[ends, 0].sigmoid().tolist()
    assert scores(tmp_path, tokenizer) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_math_shepherd_weighs_plus_against_minus_at_its_marks(
    tokenizer: Any, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    config = MistralConfig(vocab_size=len(own_tokenizer()), **SHAPE)
    model = MistralForCausalLM(config).eval()
    save(model, tmp_path, "MistralForCausalLM", None, "")
    text = f"{PROMPT} " + "\n".join(f"{line} ки" for line in LINES)
    ids = own_tokenizer().encode(text)
    marks = [i for i, token in enumerate(ids) if token == MARKS.index("ки")]
    good, bad = (own_tokenizer().encode(sign)[0] for sign in "+-")
    logits = model(input_ids=torch.tensor([ids])).logits[0, marks][:, [good, bad]]
    expected = logits.softmax(-1)[:, 0].tolist()
    assert scores(tmp_path, tokenizer, "math-shepherd") == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_rlhflow_answers_each_step_in_a_turn(tokenizer: Any, tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(own_tokenizer()), **SHAPE)).eval()
    save(model, tmp_path, "LlamaForCausalLM", None, "")
    good, bad = (own_tokenizer().encode(sign)[0] for sign in "+-")
    expected, text = [], ""
    for number, line in enumerate(LINES):
        text += f"<user>{line if number else f'{PROMPT} {line}'}<assistant>"
        logits = model(input_ids=torch.tensor([own_tokenizer().encode(text)])).logits[0, -1]
        expected.append(float(logits[[good, bad]].softmax(-1)[0]))
        text += "+<end>"
    assert scores(tmp_path, tokenizer, "rlhflow") == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_an_orm_scores_the_whole_by_its_last_token(tokenizer: Any, tmp_path: Path) -> None:
    torch.manual_seed(5)
    config = LlamaConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=0, **SHAPE)
    model = LlamaForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    context, steps = solution(tokenizer)
    ids = [*context.token_ids, *(token for step in steps for token in step)]
    expected = float(model(input_ids=torch.tensor([ids])).logits[0, 0].sigmoid())
    assert scores(tmp_path, tokenizer)[-1] == pytest.approx(expected, abs=1e-5)


def folder_of(architecture: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
        return folder

    return make


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("LlamaForTokenClassification", "token-classification"),
        ("Qwen3ForSequenceClassification", "sequence-classification"),
        ("Qwen2ForProcessRewardModel", "qwen-prm"),
        ("Qwen2ForPrmModel", "skywork-prm"),
    ],
)
def test_families_are_recognised(architecture: str, family: str, tmp_path: Path) -> None:
    assert recognise(folder_of(architecture)(tmp_path)) == family


def test_a_plain_language_model_is_no_verifier_unless_its_family_is_named(tmp_path: Path) -> None:
    folder = folder_of("MistralForCausalLM")(tmp_path)
    with pytest.raises(InputError, match="name its family: math-shepherd or rlhflow"):
        recognise(folder)
    assert recognise(folder, "math-shepherd") == "math-shepherd"
    with pytest.raises(InputError, match="known families"):
        recognise(folder_of("T5Model")(tmp_path))
