"""Tiny checkpoints of every verifier family, as the families publish theirs."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from runtime.verifiers.base import Context, Verdict, Verifier
from runtime.verifiers.likelihood import LikelihoodHead, LikelihoodModel

PROMPT, LINES = "12+7*3", ["12+7=19", "19*3=57", "#57"]
# Heads of 32 are the least that vLLM has on CPU.
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}
MARKS = ["<pad>", "<unk>", "<sys>", "<user>", "<assistant>", "<end>", "<extra_0>", "ки"]
TEMPLATE = (
    "{% for m in messages %}<{{ 'sys' if m['role'] == 'system' else m['role'] }}>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def own_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE without merges: another vocabulary than the language model's."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(MARKS + letters)}
    backend = Tokenizer(models.BPE(vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<end>",
        additional_special_tokens=MARKS[2:],
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def save(model: Any, folder: Path, architecture: str, head: nn.Module | None, prefix: str) -> None:
    """A checkpoint as the family publishes it: its architecture's name, its head's weights."""
    model.save_pretrained(folder)
    own_tokenizer().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = [architecture]
    (folder / "config.json").write_text(json.dumps(config))
    if head is not None:
        weights = load_file(folder / "model.safetensors")
        weights |= {prefix + name: tensor.clone() for name, tensor in head.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def solution(
    tokenizer: Any, text: str = "\n".join([PROMPT, *LINES])
) -> tuple[Context, list[tuple[int, ...]]]:
    """A prompt and the steps of its solution, each a line of the text."""
    prompt, *lines = text.split("\n")
    context = Context(prompt, tuple(tokenizer.encode(f"<user>{prompt}<assistant>")))
    texts = [line + "\n" for line in lines[:-1]] + [lines[-1] + "<end>"]
    return context, [tuple(tokenizer.encode(text)) for text in texts]


def grown(
    verifier: Verifier, solutions: Sequence[tuple[Context, list[tuple[int, ...]]]]
) -> list[list[Verdict]]:
    """The verdicts on solutions as they grow step by step, all at the same time."""

    async def grow(context: Context, steps: list[tuple[int, ...]]) -> list[Verdict]:
        return [await verifier.score(context, steps[:k]) for k in range(1, len(steps) + 1)]

    async def all_at_once() -> list[list[Verdict]]:
        return list(await asyncio.gather(*(grow(*s) for s in solutions)))

    return asyncio.run(all_at_once())


def make_verifier(family: str, folder: Path, tokenizer: Any, positions: int) -> Path:
    """A verifier of random weights.

    Args:
        family: its family.
        folder: where to put it.
        tokenizer: the language model's.
        positions: tokens that it reads at most.
    """
    torch.manual_seed(0)
    shape: dict[str, Any] = SHAPE | {"max_position_embeddings": positions}
    if family in ("token-classification", "sequence-classification"):
        config = LlamaConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=0, **shape)
        per_token = family == "token-classification"
        kind = LlamaForTokenClassification if per_token else LlamaForSequenceClassification
        kind(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder
    if family == "likelihood":
        language_model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape))
        head = LikelihoodHead(language_model.config.hidden_size)
        LikelihoodModel(language_model, head).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder
    shape["vocab_size"] = len(own_tokenizer())
    if family == "qwen-prm":
        deep = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
        model = Qwen2ForCausalLM(Qwen2Config(**shape))
        save(model, folder, "Qwen2ForProcessRewardModel", deep, "score.")
    elif family == "skywork-prm":
        model = Qwen2ForCausalLM(Qwen2Config(**shape))
        save(model, folder, "Qwen2ForPrmModel", nn.Linear(64, 1), "v_head.summary.")
    elif family == "math-shepherd":
        save(MistralForCausalLM(MistralConfig(**shape)), folder, "MistralForCausalLM", None, "")
    else:
        save(LlamaForCausalLM(LlamaConfig(**shape)), folder, "LlamaForCausalLM", None, "")
    return folder
