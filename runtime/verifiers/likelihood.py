"""A verifier that reads how likely a language model finds each token of a solution.

A model that is stronger than the one that is sampled rarely expects a wrong token. Training a
classifier on rollouts would have to find that comparison of expected and written tokens by
itself, and a small one does not; here it is given to a small head, which learns what it means
for the solution's chance to end correct.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runtime.verifiers.heads import load_head, load_pretrained

HEAD_FILE, HEAD_PREFIX = "model-likelihood-head.safetensors", "likelihood_head."
INNER_WIDTH = 64
# Logits of this many tokens at once: those of a vocabulary of 150,000 take half a gigabyte.
TOKENS_AT_ONCE = 1024


@dataclass(frozen=True)
class Surprise:
    """How unlikely the model found what was written, in nats: -log p(token | tokens before).

    Attributes:
        total: sum over the solution's tokens up to each one, shape (batch, width).
        largest: of any of them, shape (batch, width).
    """

    total: torch.Tensor
    largest: torch.Tensor

    def at(self, row: int, place: int) -> "Surprise":
        """That of one text up to one token, shapes (1,)."""
        here = slice(place, place + 1)
        return Surprise(self.total[row, here].clone(), self.largest[row, here].clone())

    @classmethod
    def of(cls, texts: Sequence["Surprise"]) -> "Surprise":
        """Several texts' in one, shapes (texts, 1)."""
        return cls(torch.stack([t.total for t in texts]), torch.stack([t.largest for t in texts]))


class LikelihoodHead(nn.Module):
    """From what `LikelihoodModel.read` finds at a token to the logit of a correct end.

    Args:
        width: of the hidden states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width + 3, INNER_WIDTH)
        self.outer = nn.Linear(INNER_WIDTH, 1)

    def forward(self, found: torch.Tensor) -> torch.Tensor:
        """Shape (..., width + 3) -> logits (..., 1)."""
        hidden, surprises = found[..., :-3], found[..., -3:]
        inner = self.inner(torch.cat([self.norm(hidden), surprises.log1p()], dim=-1))
        logits: torch.Tensor = self.outer(nn.functional.gelu(inner))
        return logits


class LikelihoodModel(nn.Module):
    """A causal language model that stays as it is, and the head that reads it.

    Args:
        model: the language model, of transformers.
        head: the head.
    """

    def __init__(self, model: Any, head: LikelihoodHead) -> None:
        super().__init__()
        self.model, self.head, self.config = model.requires_grad_(False), head, model.config

    def forward(
        self,
        input_ids: torch.Tensor,
        written: torch.Tensor,
        before: Surprise | None = None,
        **cache: Any,
    ) -> tuple[torch.Tensor, Surprise]:
        """Read texts, or what has been added to them.

        Args:
            input_ids: tokens, shape (batch, width). The first one's likelihood is not read, as
                the tokens before it are not there.
            written: which of them belong to the solution, shape (batch, width).
            before: the surprise up to and with the first token, shapes (batch, 1).
            cache: as the language model takes it.

        Returns:
            Logits of shape (batch, width, 1), and the surprise up to every token.
        """
        found, so_far = self.read(input_ids, written, before, **cache)
        return self.head(found), so_far

    @torch.no_grad()
    def read(
        self,
        input_ids: torch.Tensor,
        written: torch.Tensor,
        before: Surprise | None = None,
        **cache: Any,
    ) -> tuple[torch.Tensor, Surprise]:
        """What the head is given; arguments as `forward`.

        Returns:
            At every token its hidden state, its surprise, and that up to it: the sum and the
            largest; shape (batch, width, size + 3). And the surprise up to every token.
        """
        hidden = self.model.base_model(input_ids=input_ids, **cache).last_hidden_state
        now = self._surprise(hidden[:, :-1], input_ids[:, 1:])
        now = nn.functional.pad(now, (1, 0)) * written
        so_far = Surprise(now.cumsum(1), now.cummax(1).values)
        if before is not None:
            so_far = Surprise(
                so_far.total + before.total, torch.maximum(so_far.largest, before.largest)
            )
        surprises = torch.stack([now, so_far.total, so_far.largest], dim=-1)
        return torch.cat([hidden.float(), surprises], dim=-1), so_far

    def _surprise(self, hidden: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        """-log p of each following token, shape as `following`."""
        output = self.model.get_output_embeddings()
        states, tokens = hidden.flatten(0, 1), following.flatten()
        found = torch.empty(len(tokens), device=tokens.device)
        for start in range(0, len(tokens), TOKENS_AT_ONCE):
            part = slice(start, start + TOKENS_AT_ONCE)
            logits = output(states[part]).float()
            found[part] = nn.functional.cross_entropy(logits, tokens[part], reduction="none")
        return found.view_as(following)

    @classmethod
    def untrained(cls, base: Path, context: int | None = None) -> "LikelihoodModel":
        """A language model and a head that has not learnt yet.

        Args:
            base: the language model's folder.
            context: tokens that the verifier is to read, where the model's own limit is less.
        """
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.from_pretrained(base)
        config.max_position_embeddings = max(config.max_position_embeddings, context or 0)
        model = AutoModelForCausalLM.from_pretrained(base, config=config, dtype="float32")
        return cls(model, LikelihoodHead(config.hidden_size))

    @classmethod
    def from_pretrained(cls, folder: Path, dtype: str | None = None) -> "LikelihoodModel":
        """A verifier of this family.

        Raises:
            InputError: transformers cannot load it, or it has no head.
        """
        from transformers import AutoModelForCausalLM

        model = load_pretrained(AutoModelForCausalLM, folder, dtype)
        width = model.config.hidden_size
        return cls(model, load_head(lambda: LikelihoodHead(width), folder, HEAD_PREFIX))

    def save_pretrained(self, folder: Path) -> None:
        """Save the language model in its own format, and the head beside it."""
        from safetensors.torch import save_file

        self.model.save_pretrained(folder)
        weights = {HEAD_PREFIX + name: w for name, w in self.head.state_dict().items()}
        save_file(weights, folder / HEAD_FILE, metadata={"format": "pt"})
