"""Families with a tokenizer and a text of their own: the PRMs that others have published."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runtime.engines.checkpoint import model_config
from runtime.engines.tokenizer import decode, encode_text
from runtime.verifiers.base import Context
from runtime.verifiers.heads import HeadedModel, TokenLogits, load_head, load_pretrained
from runtime.verifiers.layout import Layout


class _OwnText:
    """Verifiers with a tokenizer and a text of their own."""

    shares_tokens = False

    def __init__(self, tokenizer: Any, language_model: Any, folder: Path) -> None:
        self.tokenizer, self.language_model = tokenizer, language_model
        # As of one family: the verifier's tokenizer has its marks besides.
        self.counts_alike = language_model.get_vocab().items() <= tokenizer.get_vocab().items()

    def texts(self, steps: Sequence[tuple[int, ...]]) -> list[str]:
        """The steps as text, without the ends of steps."""
        return [decode(self.language_model, step).strip() for step in steps]

    def token(self, text: str) -> int:
        """The token that a mark ends in."""
        return int(self.tokenizer.encode(text, add_special_tokens=False)[-1])

    def at_marks(self, text: str, mark: int, steps: int) -> Layout:
        """A text whose steps are followed by marks, read there."""
        ids = encode_text(self.tokenizer, text)
        marks = [place for place, token in enumerate(ids) if token == mark]
        return Layout(ids, tuple(marks[-steps:]))


class QwenPRM(_OwnText):
    """Qwen2.5-Math-PRM: ``<extra_0>`` after every step; two labels, the second is good."""

    system = "Please reason step by step, and put your final answer within \\boxed{}."
    mark = "<extra_0>"

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        asked = [("system", self.system), ("user", context.prompt)]
        text: str = self.tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in asked],
            add_generation_prompt=True,
            tokenize=False,
        )
        text += "".join(step + self.mark for step in self.texts(steps))
        return self.at_marks(text, self.token(self.mark), len(steps))

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
        from vllm.config import PoolerConfig

        # By default vLLM gives the marks' logits alone, and finds no mark in what a cached prefix
        # leaves out.
        return {"pooler_config": PoolerConfig(tok_pooling_type="ALL")}


class SkyworkPRM(_OwnText):
    """Skywork o1 Open PRM: a value head on Qwen2, read through a sigmoid at every line's end."""

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        start = f"{self.tokenizer.bos_token or ''}{context.prompt}\n"
        ids, score_positions = list(self.tokenizer.encode(start, add_special_tokens=False)), []
        for text in self.texts(steps):
            ids += [*self.tokenizer.encode(text, add_special_tokens=False), self.token("\n")]
            score_positions.append(len(ids) - 1)
        return Layout(tuple(ids), tuple(score_positions))

    def load(self, folder: Path) -> nn.Module:
        from transformers import Qwen2Model

        backbone = load_pretrained(Qwen2Model, folder)
        width = backbone.config.hidden_size
        return HeadedModel(
            backbone, load_head(lambda: nn.Linear(width, 1), folder, "v_head.summary.")
        )

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[..., 0].sigmoid()

    def vllm_args(self, folder: Path) -> dict[str, Any] | None:
        return None


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

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        lines = "\n".join(f"{step} {self.mark}" for step in self.texts(steps))
        text = f"{context.prompt} {lines}"
        return self.at_marks(text, self.token(self.mark), len(steps))


class RLHFlow(_GoodOrBad):
    """RLHFlow: every step a turn of the user, answered by ``+`` or ``-``."""

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        turns: list[dict[str, str]] = []
        score_positions = []
        for number, text in enumerate(self.texts(steps)):
            turns.append(
                {"role": "user", "content": text if number else f"{context.prompt} {text}"}
            )
            ids = self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_dict=False
            )
            score_positions.append(len(ids) - 1)
            turns.append({"role": "assistant", "content": "+"})
        return Layout(tuple(ids), tuple(score_positions))
