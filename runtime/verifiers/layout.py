"""How a solution is laid out for a verifier, and what a family of verifiers has to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from runtime.verifiers.base import Context


@dataclass(frozen=True)
class Layout:
    """A solution as a verifier sees it.

    Attributes:
        token_ids: the verifier's tokens.
        score_positions: index of the token at which each step is read.
        start: index of the solution's first token, where the family reads them one by one.
    """

    token_ids: tuple[int, ...]
    score_positions: tuple[int, ...]
    start: int = 0

    @classmethod
    def at_end(cls, prompt: tuple[int, ...], solution: tuple[int, ...]) -> "Layout":
        """A solution in the language model's own tokens, read once, at its end."""
        ids = prompt + solution
        return cls(ids, (len(ids) - 1,), len(prompt))


class Family(Protocol):
    """One convention.

    Attributes:
        shares_tokens: whether it reads the language model's own token ids. A family that lays out a
            text of its own scores a step in view of any number of steps before it, see
            `runtime.verifiers.windows`.
    """

    shares_tokens: bool

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        """Tokens of the solution and where to read them."""
        ...

    def known_solutions(self) -> tuple[Layout, Layout] | None:
        """A right and a wrong solution of an easy question, which a verifier must tell apart; None
        where the family's verifiers know their own task only.
        """
        ...

    def load(self, folder: Path) -> nn.Module:
        """The model: token ids of shape (batch, width) -> logits (batch, width, labels).

        It takes the arguments of a causal model of transformers that have to do with its cache,
        and has the configuration of one as `config`.
        """
        ...

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of shape (..., labels) -> probabilities that a step is good, shape (...)."""
        ...

    def vllm_args(self, folder: Path) -> dict[str, Any] | None:
        """Arguments of vLLM's engine with which its pooling runner gives the same logits at every
        token, as JSON has them; None where vLLM does not serve the family. The module of a
        `worker_extension_cls` registers the architecture in the process that imports it.
        """
        ...
