"""Verifiers through transformers: many requests in one forward pass, over new tokens only."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from runtime.engines.batching import MicroBatcher
from runtime.engines.checkpoint import context_length
from runtime.engines.environment import has_gpu
from runtime.verifiers.kv_memory import MAX_BYTES, KnownText, KVMemory
from runtime.verifiers.layout import Family, Layout
from runtime.verifiers.likelihood import LikelihoodModel, Surprise

MAX_SEQUENCES = 1024  # in one batch
# Tokens of the texts in one forward pass, enough to fill a GPU. Of whole texts a CPU takes so few
# that what a layer computes stays in the cores' cache; they are also more alike in length, so that
# there is less padding.
MAX_TOKENS, MAX_WHOLE_ON_CPU = 8192, 1024

_Answer = tuple[tuple[float, ...], int]


@dataclass(frozen=True)
class _Job:
    """A text to read, and what is known of its beginning.

    Attributes:
        layout: the text and the places to read.
        past: what is known.
        overlap: known tokens that are run over again.
    """

    layout: Layout
    past: KnownText | None
    overlap: int

    @property
    def known(self) -> int:
        """Tokens that need not be run over."""
        return 0 if self.past is None else int(self.past.states.shape[2]) - self.overlap

    @property
    def new(self) -> tuple[int, ...]:
        """Tokens to run over."""
        return self.layout.token_ids[self.known :]


class TransformersBackend:
    """Runs a family's model with torch, on a GPU where there is one.

    Args:
        folder: the model.
        family: how it is loaded and read.
        max_bytes: memory for keys and values; 0 reads every text from its start.
        gpu: number of the GPU, among those that this process sees.

    Attributes:
        resources: what it runs on, in words.
        context_length: tokens that the model reads at most; None has no limit.
        passes: forward passes so far.
        texts: that these ran over; equal ones of one batch count once.

    Raises:
        InputError: the family cannot load it.
    """

    def __init__(
        self, folder: Path, family: Family, max_bytes: int = MAX_BYTES, gpu: int = 0
    ) -> None:
        on_gpu = has_gpu()
        self._device = f"cuda:{gpu}" if on_gpu else "cpu"
        self._max_whole = MAX_TOKENS if on_gpu else MAX_WHOLE_ON_CPU
        self.resources = f"transformers on {self._device}"
        self._family = family
        self._model = family.load(folder).to(self._device).eval()
        self.context_length = context_length(self._model.config)
        self._memory = KVMemory(max_bytes)
        # A token's likelihood is read from the token before it.
        self._overlap = 1 if isinstance(self._model, LikelihoodModel) else 0
        self._batcher: MicroBatcher[Layout, _Answer] = MicroBatcher(self._batch, MAX_SEQUENCES)
        self.passes = self.texts = 0

    async def read(self, layout: Layout) -> _Answer:
        """Probabilities at the places, and the tokens run over."""
        return await self._batcher.submit(layout)

    def _batch(self, layouts: list[Layout]) -> list[_Answer]:
        # Beams often hold the same text: each distinct one is run over once, and the first to
        # ask is charged.
        jobs = {layout: self._job(layout) for layout in dict.fromkeys(layouts)}
        results: dict[Layout, tuple[float, ...]] = {}
        # Texts that begin and those that go on have no pass together, and in one pass all are
        # about as long: there is little padding.
        for begun in (False, True):
            left = [job for job in jobs.values() if (job.past is not None) is begun]
            left.sort(key=lambda job: len(job.layout.token_ids))
            most = MAX_TOKENS if begun else self._max_whole
            while left:
                count = max(1, most // len(left[-1].layout.token_ids))
                part, left = left[-count:], left[:-count]
                results.update(
                    (job.layout, scores)
                    for job, scores in zip(part, self._forward(part), strict=True)
                )
        answers, charged = [], set()
        for layout in layouts:
            cost = 0 if layout in charged else len(jobs[layout].new)
            answers.append((results[layout], cost))
            charged.add(layout)
        return answers

    def _job(self, layout: Layout) -> _Job:
        known = self._memory.longest(layout.token_ids, layout.score_positions[0])
        if known is None or known.surprise is None or known.start == layout.start:
            return _Job(layout, known, self._overlap)
        # A solution that is now part of the context, as an attempt before a revision is: its
        # surprise does not count, and none of this solution may be known.
        if known.states.shape[2] > layout.start:
            return _Job(layout, None, self._overlap)
        nothing = Surprise(*(torch.zeros_like(known.surprise.total) for _ in range(2)))
        return _Job(layout, replace(known, surprise=nothing), self._overlap)

    @torch.inference_mode()
    def _forward(self, jobs: list[_Job]) -> list[tuple[float, ...]]:
        """Probabilities at each job's places.

        Known keys and values stand to the left, padded on their left; new tokens stand to the
        right, padded on their right.
        """
        self.passes += 1
        self.texts += len(jobs)
        past, width = max(job.known for job in jobs), max(len(job.new) for job in jobs)
        ids = torch.zeros(len(jobs), width, dtype=torch.long)
        mask = torch.zeros(len(jobs), past + width, dtype=torch.long)
        for row, job in enumerate(jobs):
            ids[row, : len(job.new)] = torch.tensor(job.new)
            mask[row, past - job.known : past + len(job.new)] = 1
        known = torch.tensor([job.known for job in jobs])
        cache = self._cache(jobs, past)
        places = known[:, None] + torch.arange(width)
        arguments = {
            "attention_mask": mask.to(self._device),
            "position_ids": places.to(self._device),
            "past_key_values": cache,
            "use_cache": self._memory.max_bytes > 0,
        }
        surprise = None
        if isinstance(self._model, LikelihoodModel):
            starts = torch.tensor([job.layout.start for job in jobs])
            logits, surprise = self._model(
                ids.to(self._device),
                (places >= starts[:, None]).to(self._device),
                self._surprise(jobs),
                **arguments,
            )
        else:
            logits = self._model(ids.to(self._device), **arguments)
        if self._memory.max_bytes:
            self._keep(jobs, cache, past, surprise)
        scores = self._family.probability(logits.float()).cpu()
        return [
            tuple(row[[place - job.known for place in job.layout.score_positions]].tolist())
            for row, job in zip(scores, jobs, strict=True)
        ]

    def _surprise(self, jobs: list[_Job]) -> Surprise | None:
        """The surprise of what is known of the jobs' texts."""
        known = [job.past.surprise for job in jobs if job.past and job.past.surprise]
        return Surprise.of(known) if known else None

    def _keep(self, jobs: list[_Job], cache: Any, past: int, surprise: Surprise | None) -> None:
        """Remember what is known of the jobs' texts, padding left out."""
        layers = [states for layer in cache.layers for states in (layer.keys, layer.values)]
        for row, job in enumerate(jobs):
            ours = slice(past - job.known, past + len(job.new))
            kept = torch.stack([states[row, :, ours] for states in layers])
            last = None if surprise is None else surprise.at(row, len(job.new) - 1)
            self._memory.add(job.layout.token_ids, KnownText(kept, last, job.layout.start))

    def _cache(self, jobs: list[_Job], past: int) -> Any:
        """The jobs' keys and values as the model takes them."""
        from transformers import DynamicCache

        cache = DynamicCache()
        first = jobs[0].past
        if first is None:
            return cache
        depth, heads, _, size = first.states.shape
        states = first.states.new_zeros(depth, len(jobs), heads, past, size)
        for row, job in enumerate(jobs):
            if job.past is not None:
                states[:, row, :, past - job.known :] = job.past.states[:, :, : job.known]
        for layer in range(depth // 2):
            cache.update(states[2 * layer], states[2 * layer + 1], layer)
        return cache

    def close(self) -> None:
        """Stop the scoring thread, and free the model's memory after the running batch."""
        self._batcher.close(self._release)

    def _release(self) -> None:
        # Whoever has closed a verifier may still hold it, and torch keeps what has been freed.
        del self._model, self._memory
        torch.cuda.empty_cache()
