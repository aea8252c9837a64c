"""An engine for many whole solutions of one prompt: exact independent samples, far fewer tokens.

A thousand solutions of one prompt have most of their beginnings in common. Each distinct beginning
is read once, and the number of solutions that go on with each token is drawn from the multinomial
distribution: that is how so many independent draws fall. Shuffled, the solutions are independent
samples; a benchmark of hundreds of thousands of them takes minutes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from allocator.errors import InputError
from predictors.confidence import ConfidenceWindow
from runtime.engines.base import Completion, SamplingSettings, derive_seed
from runtime.engines.batching import MicroBatcher
from runtime.engines.transformers import TransformersEngine

PROMPTS_AT_ONCE = 12


@dataclass
class _Node:
    """A beginning of a solution, and how many of the prompt's solutions have it."""

    prompt: int
    count: int
    token_ids: tuple[int, ...] = ()
    logprob: float = 0.0


@dataclass(frozen=True)
class _Drawn:
    """All solutions of one prompt: the distinct ones, and which of them each draw gave."""

    distinct: list[Completion]
    places: NDArray[np.int64]


class TreeEngine(TransformersEngine):
    """Draws all solutions of a prompt when the first is requested; returns the distinct ones.

    Whole solutions only, at temperature 1: what calibration asks for.

    Args:
        model: a causal language model's folder.
        samples: solutions drawn of each prompt.
        seed: with the prompt, determines them.
    """

    def __init__(self, model: Path, samples: int, seed: int) -> None:
        super().__init__(model)
        self.samples, self.seed = samples, seed
        self._trees = MicroBatcher(self._draw, PROMPTS_AT_ONCE)
        self._drawn: dict[tuple[int, ...], asyncio.Future[_Drawn]] = {}
        self._given: dict[tuple[int, ...], int] = {}

    async def places(self, token_ids: Sequence[int], max_tokens: int) -> NDArray[np.int64]:
        """Which of a prompt's distinct solutions each of its draws gave, shape (samples,)."""
        prompt = tuple(token_ids)
        if prompt not in self._drawn:
            self._drawn[prompt] = asyncio.ensure_future(self._trees.submit((prompt, max_tokens)))
        return (await self._drawn[prompt]).places

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: Sequence[str] = (),
        stop_token_ids: Sequence[int] = (),
        logprob: bool = True,
        confidence: ConfidenceWindow | None = None,
    ) -> Completion:
        """The prompt's next distinct solution; see `runtime.engines.base.Engine.complete`.

        Raises:
            InputError: anything but whole solutions at temperature 1 without their confidence, or
                more than there are.
        """
        plain = settings.model_dump(include={"temperature", "top_p", "top_k", "min_p"})
        other = plain != SamplingSettings().model_dump(include=set(plain))
        if stop or stop_token_ids or other or confidence is not None:
            hint = "this engine draws whole solutions at temperature 1, without confidence"
            raise InputError("plan", [*stop, *stop_token_ids], hint)
        prompt = tuple(token_ids)
        await self.places(prompt, max_tokens)
        drawn = await self._drawn[prompt]
        number = self._given[prompt] = self._given.get(prompt, -1) + 1
        if number >= len(drawn.distinct):
            raise InputError("samples", number + 1, f"{len(drawn.distinct)} are distinct")
        return drawn.distinct[number]

    @torch.inference_mode()
    def _draw(self, requests: list[tuple[tuple[int, ...], int]]) -> list[_Drawn]:
        prompts = [prompt for prompt, _ in requests]
        rng = [np.random.default_rng(derive_seed(self.seed, *prompt)) for prompt in prompts]
        nodes = [_Node(i, self.samples) for i in range(len(prompts))]
        finished: list[list[tuple[Completion, int]]] = [[] for _ in prompts]
        logits, mask, cache = self._read(prompts)
        while nodes:
            logprobs = logits.log_softmax(-1).cpu().numpy()
            parents: list[int] = []
            children: list[_Node] = []
            chances = np.exp(logprobs.astype(np.float64))
            chances /= chances.sum(1, keepdims=True)
            for row, node in enumerate(nodes):
                counts = rng[node.prompt].multinomial(node.count, chances[row])
                for token in np.flatnonzero(counts).tolist():
                    grown = (*node.token_ids, token)
                    total = node.logprob + float(logprobs[row, token])
                    ended, count = token in self.end_ids, int(counts[token])
                    if ended or len(grown) == requests[node.prompt][1]:
                        done = Completion(grown, total, ended)
                        finished[node.prompt].append((done, count))
                    else:
                        parents.append(row)
                        children.append(_Node(node.prompt, count, grown, total))
            nodes = children
            if nodes:
                chosen = self._tensor(parents)
                cache.batch_select_indices(chosen)
                mask = torch.cat([mask[chosen], mask.new_ones(len(nodes), 1)], dim=1)
                tokens = self._tensor([[node.token_ids[-1]] for node in nodes])
                logits = self._forward(tokens, mask, cache)
        return [
            _Drawn(
                [completion for completion, _ in found],
                generator.permutation(np.repeat(np.arange(len(found)), [n for _, n in found])),
            )
            for generator, found in zip(rng, finished, strict=True)
        ]

    def close(self) -> None:
        """Stop the drawing threads."""
        self._trees.close()
        super().close()
