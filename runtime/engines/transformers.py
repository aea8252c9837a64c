"""Hugging Face transformers, batched: the default without vLLM.

Requests of many coroutines are gathered and decoded together, left-padded, with one key-value
cache. Those that have the same tokens so far share one sequence of the batch, and those that have
ended leave it. Each draws its random numbers from its own seed, so a request samples the same alone
and in company.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from allocator.errors import InputError
from predictors.confidence import ConfidenceWindow, token_confidence
from runtime.engines.base import Completion, SamplingSettings
from runtime.engines.batching import MicroBatcher
from runtime.engines.checkpoint import context_length, loading_dtype
from runtime.engines.environment import has_gpu
from runtime.engines.steps import StepSplitter

# Sequences decoded at once: beyond this a step takes as much longer as it does more.
MAX_BATCH = 256
# Texts at which to stop that are kept ready, the last used ones: each may take 4 megabytes.
MAX_STOPS = 64
# Tokens of context where the architecture has no limit of its own.
NO_LIMIT = 2**20


@dataclass
class _Row:
    """One request as it decodes."""

    prompt: list[int]
    settings: SamplingSettings
    max_tokens: int
    stops: list[StepSplitter]
    ends: frozenset[int]  # tokens that end a solution beside the model's own
    uniforms: torch.Tensor  # shape (max_tokens,)
    window: ConfidenceWindow | None = None
    cancelled: bool = False
    cached_tokens: int = 0
    sampled: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: bool = False
    stopped_by: str | None = None
    done: bool = False
    # The model's state at the prompt's last token, once read; shape (hidden,).
    state: torch.Tensor = field(init=False, repr=False)

    @property
    def completion(self) -> Completion:
        """The completion so far."""
        return Completion(
            token_ids=tuple(self.sampled),
            logprob=self.logprob,
            ended=self.ended,
            cached_tokens=self.cached_tokens,
            stopped_by=self.stopped_by,
            aborted=self.lost,
        )

    @property
    def lost(self) -> bool:
        """Whether it is to be aborted for its low confidence."""
        return self.window is not None and self.window.lost


class TransformersEngine:
    """A causal language model through transformers, on a GPU if there is one.

    Args:
        model: a Hugging Face model folder.

    Attributes:
        generation_config: the model's; of it, only the ends of a solution are used.
        end_ids: tokens that end a solution.

    Raises:
        InputError: transformers cannot load the model as a causal language model.
    """

    def __init__(self, model: Path) -> None:
        self._device = "cuda" if has_gpu() else "cpu"
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(model)
            self._model = AutoModelForCausalLM.from_pretrained(model, dtype=loading_dtype())
        except (ValueError, OSError) as error:
            raise InputError(
                "model", str(model), f"transformers cannot load it: {error}"
            ) from error
        self._model.to(self._device).eval()
        self.context_length: int = context_length(self._model.config) or NO_LIMIT
        self.generation_config = self._model.generation_config
        # As vLLM has it: the ends that generation_config.json names, and the tokenizer's own.
        ends = self.generation_config.eos_token_id
        listed = ends if isinstance(ends, list) else [ends]
        self.end_ids = frozenset({*listed, self.tokenizer.eos_token_id} - {None})
        self._splitter = lru_cache(MAX_STOPS)(partial(StepSplitter, self.tokenizer))
        self._states: torch.Tensor  # what the head read last, shape (rows, columns, hidden)
        self._model.get_output_embeddings().register_forward_pre_hook(self._note_states)
        self._batcher: MicroBatcher[_Row, Completion] = MicroBatcher(self._decode, MAX_BATCH)

    @property
    def resources(self) -> str:
        """What it runs on, in words."""
        return f"transformers on {self._device}"

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
        """Sample one continuation; see `runtime.engines.base.Engine.complete`.

        Args:
            token_ids, settings, max_tokens, seed, stop, stop_token_ids, logprob: as there.
            confidence: see `runtime.engines.base.HasConfidence`.
        """
        uniforms = torch.rand(max_tokens, generator=torch.Generator().manual_seed(seed))
        splitters = [self._splitter(text) for text in stop]
        ends = frozenset(stop_token_ids)
        row = _Row(list(token_ids), settings, max_tokens, splitters, ends, uniforms, confidence)
        try:
            return await self._batcher.submit(row)
        except asyncio.CancelledError:
            row.cancelled = True  # the decoding thread drops it at the next token
            raise

    @property
    def max_confidence_top(self) -> int:
        """See `runtime.engines.base.HasConfidence`."""
        return int(self._model.get_output_embeddings().weight.shape[0])

    async def hidden_state(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """The state at the last token; see `runtime.engines.base.HasHiddenState`.

        It is noted as a prompt is read for decoding: a request of one token costs no more than
        that, and nothing beside one that decodes the same prompt in the same batch.
        """
        greedy = SamplingSettings(temperature=0.0)
        row = _Row(list(token_ids), greedy, 1, [], frozenset(), torch.zeros(1))
        await self._batcher.submit(row)
        return np.asarray(row.state.float().cpu().numpy())

    def _note_states(self, _: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        self._states = inputs[0]

    @torch.inference_mode()
    def _decode(self, rows: list[_Row]) -> list[Completion]:
        # Requests share a sequence of the batch as long as they have the same tokens: samples of
        # one prompt, and beams of one parent, until they part. `at` says which is each request's.
        # Rows of a batch that has failed go on from the tokens that they have.
        texts = [(*row.prompt, *row.sampled) for row in rows]
        distinct = list(dict.fromkeys(texts))
        place = {text: i for i, text in enumerate(distinct)}
        at = [place[text] for text in texts]
        logits, mask, cache = self._read(distinct)
        read: set[int] = set()
        for row, sequence in zip(rows, at, strict=True):
            row.cached_tokens = len(row.prompt) if sequence in read else 0
            row.state = self._states[sequence, -1]
            read.add(sequence)
        active = list(rows)
        while active:
            own = logits[self._tensor(at)]
            tokens, logprobs = _sample(own, active)
            _add_confidences(own, active)
            going: dict[tuple[int, int], int] = {}  # places of the sequences that go on
            left, places = [], []
            for row, sequence, token, logprob in zip(
                active, at, tokens.tolist(), logprobs.tolist(), strict=True
            ):
                self._advance(row, token, logprob)
                if row.done:  # callers do not wait for the longest of the batch
                    self._batcher.deliver(row, row.completion)
                else:
                    left.append(row)
                    places.append(going.setdefault((sequence, token), len(going)))
            active, at = left, places
            if active:
                parents = [sequence for sequence, _ in going]
                if parents != list(range(len(mask))):  # selecting copies the whole cache
                    chosen = self._tensor(parents)
                    cache.batch_select_indices(chosen)
                    mask = mask[chosen]
                mask = torch.cat([mask, mask.new_ones(len(going), 1)], dim=1)
                logits = self._forward(self._tensor([[token] for _, token in going]), mask, cache)
        return [row.completion for row in rows]

    def _read(
        self, prompts: Sequence[tuple[int, ...]]
    ) -> tuple[torch.Tensor, torch.Tensor, DynamicCache]:
        """Prompts read, padded on their left: logits after each, mask, and keys and values."""
        width = max(len(prompt) for prompt in prompts)
        padding = [width - len(prompt) for prompt in prompts]
        inputs = self._tensor(
            [[0] * p + list(ids) for p, ids in zip(padding, prompts, strict=True)]
        )
        mask = self._tensor([[0] * p + [1] * (width - p) for p in padding])
        cache = DynamicCache(config=self._model.config)
        return self._forward(inputs, mask, cache), mask, cache

    def _tensor(self, values: list[Any]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)

    def _forward(
        self, inputs: torch.Tensor, mask: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        """Logits after the last column, shape (rows, vocabulary); the cache grows by the inputs."""
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
        logits: torch.Tensor = self._model(
            input_ids=inputs,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1].float()

    def _advance(self, row: _Row, token: int, logprob: float) -> None:
        row.sampled.append(token)
        row.logprob += logprob
        row.ended = not row.lost and (token in self.end_ids or token in row.ends)
        for stop in row.stops:
            if not row.ended and not row.lost and stop.ends_step(row.sampled):
                row.stopped_by = stop.step_end
        over = row.ended or row.stopped_by is not None or row.cancelled or row.lost
        row.done = over or len(row.sampled) == row.max_tokens

    def close(self) -> None:
        """Stop the decoding thread."""
        self._batcher.close()


def _sample(logits: torch.Tensor, rows: list[_Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row by inverse transform sampling, and its log-probability at temperature 1."""
    uniform = torch.stack([row.uniforms[len(row.sampled)] for row in rows]).to(logits.device)
    temperature = torch.tensor([row.settings.temperature for row in rows], device=logits.device)
    top_p = torch.tensor([row.settings.top_p for row in rows], device=logits.device)
    warm = (logits / temperature.clamp(min=1e-5)[:, None]).softmax(-1)
    # Likeliest first: the nucleus is then a prefix, and at temperature 0 it is the argmax alone.
    # Limits apply one after the other: top-k and min-p to what is then the whole of the nucleus's.
    ordered, order = warm.sort(-1, descending=True)
    kept = torch.arange(ordered.shape[-1], device=logits.device) < _top_k(logits, rows)[:, None]
    ordered = ordered.where(kept, 0)
    min_p = torch.tensor([row.settings.min_p for row in rows], device=logits.device)
    ordered = ordered.where(ordered >= (min_p * ordered[:, 0])[:, None], 0)
    before = ordered.cumsum(-1) - ordered
    ordered = ordered.where(before < top_p[:, None] * ordered.sum(-1)[:, None], 0)
    cumulative = ordered.cumsum(-1)
    rank = (cumulative <= (uniform * cumulative[:, -1])[:, None]).sum(-1)
    tokens = order.gather(-1, rank.clamp(max=logits.shape[-1] - 1)[:, None])
    return tokens[:, 0], logits.log_softmax(-1).gather(-1, tokens)[:, 0]


def _add_confidences(logits: torch.Tensor, rows: list[_Row]) -> None:
    """Add the confidence of the next token to the windows of the rows that have one."""
    places = [i for i, row in enumerate(rows) if row.window is not None]
    if not places:
        return
    windows = [row.window for row in rows if row.window is not None]
    most = min(max(window.settings.top for window in windows), logits.shape[-1])
    likeliest = logits[places].log_softmax(-1).topk(most).values.tolist()
    for window, logprobs in zip(windows, likeliest, strict=True):
        window.add([token_confidence(logprobs[: window.settings.top])])


def _top_k(logits: torch.Tensor, rows: list[_Row]) -> torch.Tensor:
    """How many of the likeliest tokens each row may sample, shape (rows,)."""
    most = [row.settings.top_k or logits.shape[-1] for row in rows]
    return torch.tensor(most, device=logits.device)
