"""A tiny model in real vLLM whose vocabulary can write JSON, and one that says what it is given."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from runtime.answers import PatternAnswers
from runtime.engines.base import Completion
from runtime.engines.steps import StepSplitter
from runtime.models import Models
from runtime.verifiers.constant import NoVerifier
from tests.support.checkpoints import SHAPE, TEMPLATE, own_tokenizer

WITH_TOOLS = "{% for tool in tools or [] %}<sys>{{ tool | tojson }}{% endfor %}" + TEMPLATE.replace(
    "{{ m['content'] }}",
    "{{ m['content'] }}{% for call in m.tool_calls or [] %}{{ call.function | tojson }}"
    "{% endfor %}",
)
CALL_MARKS = (
    *("[TOOL_CALLS]", "[ARGS]", "<|python_tag|>"),
    *("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁sep｜>"),
    *("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"),
)
SUM = {
    "type": "object",
    "properties": {"sum": {"enum": [1, 2]}, "sure": {"type": "boolean"}},
    "required": ["sum", "sure"],
    "additionalProperties": False,
}


def tool(name: str, **fields: Any) -> dict[str, Any]:
    """A tool whose arguments are a sum."""
    return {"type": "function", "function": {"name": name, "parameters": SUM} | fields}


def tooled_tokenizer() -> Any:
    """A token per byte; the chat template shows tools and calls."""
    tokenizer = own_tokenizer()
    tokenizer.chat_template = WITH_TOOLS
    return tokenizer


def marked_tokenizer() -> Any:
    """Like that, with the special tokens by which models of several families mark calls."""
    tokenizer = tooled_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(CALL_MARKS)})
    return tokenizer


def tiny_model(folder: Path) -> Path:
    """A model of random weights, which writes bytes."""
    tokenizer = tooled_tokenizer()
    torch.manual_seed(0)
    shape: dict[str, Any] = SHAPE | {"max_position_embeddings": 1024}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), **shape, **ends)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def unverified(engine: Any) -> Models:
    """The models of an engine without a verifier; the answers of free text stand after ``#``."""
    splitter = StepSplitter(engine.tokenizer, "\n")
    return Models(engine, NoVerifier(), PatternAnswers(r"#(\d+)"), splitter)


class Says:
    """Says one of its texts after the other, by the seed.

    Args:
        texts: without line breaks, which would end a step.
    """

    context_length = 4096

    def __init__(self, *texts: str) -> None:
        self.tokenizer, self.texts = tooled_tokenizer(), texts
        self.prompts: list[str] = []

    async def complete(self, token_ids: Sequence[int], *, seed: int, **_: Any) -> Completion:
        await asyncio.sleep(0)
        self.prompts.append(self.tokenizer.decode(token_ids))
        ids = self.tokenizer.encode(self.texts[seed % len(self.texts)] + "<end>")
        return Completion(tuple(ids), -0.1 * len(ids), ended=True)

    def close(self) -> None:
        pass
