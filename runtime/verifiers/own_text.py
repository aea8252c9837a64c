"""Families with a tokenizer and a text of their own: the PRMs that others have published."""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runtime.engines.checkpoint import model_config
from runtime.engines.tokenizer import decode, encode_text
from runtime.verifiers.base import Context
from runtime.verifiers.heads import (
    SKYWORK_HEAD,
    HeadedModel,
    TokenLogits,
    load_head,
    load_pretrained,
)
from runtime.verifiers.layout import Layout

# Steps whose tokens are kept: about a hundred megabytes at sixty tokens a step.
KEPT_STEPS = 2**15
# Prompts with a first step whose tokens are kept, at 4 bytes a token: prompts of 8,000 tokens fill
# 130 megabytes. 64 prompts may have 64 different first steps each.
KEPT_BEGINNINGS = 2**12

# A right and a wrong solution of an easy question: every verifier of mathematics prefers the first.
QUESTION = "What is 3 + 4 * 2?"
RIGHT = ("4 * 2 = 8.", "3 + 8 = 11.", "The answer is \\boxed{11}.")
WRONG = ("4 * 2 = 6.", "3 + 6 = 10.", "The answer is \\boxed{10}.")


class _OwnText(ABC):
    """Verifiers with a tokenizer and a text of their own.

    A step is decoded and tokenised once, however often the solution that it belongs to grows.
    """

    shares_tokens = False

    def __init__(self, tokenizer: Any, language_model: Any, folder: Path) -> None:
        self.tokenizer, self.language_model = tokenizer, language_model
        self._begun = lru_cache(KEPT_BEGINNINGS)(self._begin)
        self._gone_on = lru_cache(KEPT_STEPS)(lambda step: self.following(self._text_of(step)))

    def _begin(self, prompt: str, step: tuple[int, ...]) -> "array[int]":
        return array("i", self.first(prompt, self._text_of(step)))

    def _text_of(self, step: tuple[int, ...]) -> str:
        return decode(self.language_model, step).strip()

    @abstractmethod
    def first(self, prompt: str, step: str) -> tuple[int, ...]:
        """Tokens of the prompt and the first step; the step is scored at the last one."""

    @abstractmethod
    def following(self, step: str) -> tuple[int, ...]:
        """Tokens that a further step adds; it is scored at the last one."""

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        ids = list(self._begun(context.prompt, steps[0]))
        score_positions = [len(ids) - 1]
        for step in steps[1:]:
            ids += self._gone_on(step)
            score_positions.append(len(ids) - 1)
        return Layout(tuple(ids), tuple(score_positions))

    def known_solutions(self) -> tuple[Layout, Layout] | None:
        encode = partial(self.language_model.encode, add_special_tokens=False)
        context = Context(QUESTION, ())
        right, wrong = (
            self.format_input(context, [tuple(encode(step)) for step in steps])
            for steps in (RIGHT, WRONG)
        )
        return right, wrong

    def token(self, text: str) -> int:
        """The token that a mark ends in."""
        return self.encoded(text)[-1]

    def encoded(self, text: str) -> tuple[int, ...]:
        """Tokens of a part of a text."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def encoded_after(self, before: str, text: str) -> tuple[int, ...]:
        """Tokens of a text that goes on from another one, whose tokens it leaves as they are."""
        return self.encoded(before + text)[len(self.encoded(before)) :]


class QwenPRM(_OwnText):
    """Qwen2.5-Math-PRM: ``<extra_0>`` after every step; two labels, the second is good."""

    system = "Please reason step by step, and put your final answer within \\boxed{}."
    mark = "<extra_0>"

    def first(self, prompt: str, step: str) -> tuple[int, ...]:
        asked = [("system", self.system), ("user", prompt)]
        text: str = self.tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in asked],
            add_generation_prompt=True,
            tokenize=False,
        )
        return encode_text(self.tokenizer, text + step + self.mark)

    def following(self, step: str) -> tuple[int, ...]:
        return self.encoded_after(self.mark, step + self.mark)

    def load(self, folder: Path) -> nn.Module:
        from transformers import Qwen2Model

        backbone = load_pretrained(Qwen2Model, folder)
        width = backbone.config.hidden_size

        def head() -> nn.Module:
            return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

        return HeadedModel(backbone, load_head(head, folder, "score."))

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.softmax(-1)[..., 1]

    def vllm_args(self, folder: Path) -> dict[str, Any] | None:
        # By default vLLM gives the marks' logits alone, and finds no mark in what a cached prefix
        # leaves out.
        return {"pooler_config": {"tok_pooling_type": "ALL"}}


class SkyworkPRM(_OwnText):
    """Skywork o1 Open PRM: a value head on Qwen2, read through a sigmoid at every line's end."""

    def first(self, prompt: str, step: str) -> tuple[int, ...]:
        start = self.encoded(f"{self.tokenizer.bos_token or ''}{prompt}\n")
        return start + self.following(step)

    def following(self, step: str) -> tuple[int, ...]:
        return (*self.encoded(step), self.token("\n"))

    def load(self, folder: Path) -> nn.Module:
        from transformers import Qwen2Model

        backbone = load_pretrained(Qwen2Model, folder)
        width = backbone.config.hidden_size
        return HeadedModel(backbone, load_head(lambda: nn.Linear(width, 1), folder, SKYWORK_HEAD))

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[..., 0].sigmoid()

    def vllm_args(self, folder: Path) -> dict[str, Any] | None:
        extension = "runtime.verifiers.skywork_in_vllm.InWorkers"
        return {"hf_overrides": {"num_labels": 1}, "worker_extension_cls": extension}


class _GoodOrBad(_OwnText):
    """Language models that answer each step with a good or a bad token."""

    def load(self, folder: Path) -> nn.Module:
        from transformers import AutoModelForCausalLM

        model = load_pretrained(AutoModelForCausalLM, folder)
        return TokenLogits(model, [self.token("+"), self.token("-")])

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.softmax(-1)[..., 0]

    def vllm_args(self, folder: Path) -> dict[str, Any] | None:
        (architecture, *_) = model_config(folder)["architectures"]
        kind = architecture.removesuffix("ForCausalLM") + "ForSequenceClassification"
        signs = self.tokenizer.convert_ids_to_tokens([self.token("+"), self.token("-")])
        # A classifier whose head is these tokens' rows of the language model's.
        classifier = {"classifier_from_token": signs, "method": "no_post_processing"}
        return {"hf_overrides": {"architectures": [kind], "num_labels": 2, **classifier}}


class MathShepherd(_GoodOrBad):
    """Math-Shepherd: ``ки`` after every step, where ``+`` competes with ``-``."""

    mark = "ки"

    def first(self, prompt: str, step: str) -> tuple[int, ...]:
        return encode_text(self.tokenizer, f"{prompt} {step} {self.mark}")

    def following(self, step: str) -> tuple[int, ...]:
        return self.encoded_after(f"1 {self.mark}", f"\n{step} {self.mark}")


class RLHFlow(_GoodOrBad):
    """RLHFlow: every step a turn of the user, answered by ``+`` or ``-``."""

    def first(self, prompt: str, step: str) -> tuple[int, ...]:
        return self._turns(f"{prompt} {step}")

    def following(self, step: str) -> tuple[int, ...]:
        return self._turns("1", step)[len(self._turns("1")) :]

    def _turns(self, *asked: str) -> tuple[int, ...]:
        """The turns of a user, all of them answered by ``+`` but the last, which is to be."""
        turns = [
            {"role": role, "content": content}
            for text in asked
            for role, content in (("user", text), ("assistant", "+"))
        ]
        return tuple(
            self.tokenizer.apply_chat_template(
                turns[:-1], add_generation_prompt=True, return_dict=False
            )
        )
