"""Families that read the language model's own tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from allocator.errors import InputError
from runtime.engines.tokenizer import known_ids
from runtime.verifiers.base import Context
from runtime.verifiers.heads import headed, load_pretrained
from runtime.verifiers.layout import Layout
from runtime.verifiers.likelihood import LikelihoodModel


class _SharedTokens:
    """Verifiers that read the language model's own tokens, at the last token of every step.

    One label is read through a sigmoid; of two, the second one's softmax probability is the score.
    """

    shares_tokens = True
    auto_class = ""

    def __init__(self, tokenizer: Any, language_model: Any, folder: Path) -> None:
        if tokenizer.get_vocab() != language_model.get_vocab():
            raise InputError(
                "verifier",
                str(folder),
                "its vocabulary is not the language model's; choose a verifier of the same family",
            )
        self.tokenizer = tokenizer

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        ids, score_positions = list(known_ids(self.tokenizer, context.token_ids)), []
        start = len(ids)
        for step in steps:
            ids += known_ids(self.tokenizer, step)
            score_positions.append(len(ids) - 1)
        return Layout(tuple(ids), tuple(score_positions), start)

    def known_solutions(self) -> tuple[Layout, Layout] | None:
        return None

    def load(self, folder: Path) -> nn.Module:
        """Load the model; see `runtime.verifiers.layout.Family.load`.

        Raises:
            InputError: it has more than two labels.
        """
        import transformers

        model = load_pretrained(getattr(transformers, self.auto_class), folder)
        if model.config.num_labels > 2:
            raise InputError(
                "verifier",
                str(folder),
                f"it has {model.config.num_labels} labels; a verifier has one or two",
            )
        return headed(model)

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[..., 0].sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)[..., 1]

    def vllm_args(self, folder: Path) -> dict[str, Any] | None:
        return {}


class TokenClassification(_SharedTokens):
    """PRMs as token classifiers: the testbed's, and those that TRL trains."""

    auto_class = "AutoModelForTokenClassification"


class SequenceClassification(_SharedTokens):
    """ORMs as sequence classifiers: the head, made for the last token, is read at every step."""

    auto_class = "AutoModelForSequenceClassification"


class Likelihood(_SharedTokens):
    """Language models read by how likely they find a solution, see `runtime.verifiers.likelihood`;
    ``ttc train prm --likelihood`` makes them.
    """

    def load(self, folder: Path) -> nn.Module:
        return LikelihoodModel.from_pretrained(folder)

    def vllm_args(self, folder: Path) -> dict[str, Any] | None:
        return None
