"""Verifiers through transformers: every request is a whole text, many in one forward pass."""

from pathlib import Path

import torch

from runtime.batching import MicroBatcher
from runtime.verifiers.families import Family

# Sequences and tokens in one forward pass: enough to fill 2 cores, small enough to stay in cache.
MAX_SEQUENCES = 1024
MAX_TOKENS = 8192

_Request = tuple[tuple[int, ...], tuple[int, ...]]  # token ids, places to read
_Answer = tuple[tuple[float, ...], int]


class TransformersBackend:
    """Runs a family's model with torch, on a GPU where there is one.

    Args:
        folder: the model.
        family: how it is loaded and read.

    Raises:
        InputError: the family cannot load it.
    """

    def __init__(self, folder: Path, family: Family) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._family = family
        self._model = family.load(folder).to(self._device).eval()
        self._batcher: MicroBatcher[_Request, _Answer] = MicroBatcher(self._batch, MAX_SEQUENCES)

    async def read(self, token_ids: tuple[int, ...], reads: tuple[int, ...]) -> _Answer:
        """Probabilities at the places, and the tokens run over."""
        return await self._batcher.submit((token_ids, reads))

    def _batch(self, requests: list[_Request]) -> list[_Answer]:
        # Beams often hold the same text: each distinct request is run over once, and the first
        # to ask is charged. Sorted by length, the passes carry little padding.
        results: dict[_Request, tuple[float, ...]] = {}
        distinct = sorted(set(requests), key=lambda request: len(request[0]))
        while distinct:
            count = max(1, MAX_TOKENS // len(distinct[-1][0]))
            part, distinct = distinct[-count:], distinct[:-count]
            results.update(zip(part, self._forward(part), strict=True))
        answers, charged = [], set()
        for request in requests:
            answers.append((results[request], 0 if request in charged else len(request[0])))
            charged.add(request)
        return answers

    @torch.inference_mode()
    def _forward(self, requests: list[_Request]) -> list[tuple[float, ...]]:
        width = len(requests[-1][0])
        ids = torch.tensor([list(r[0]) + [0] * (width - len(r[0])) for r in requests])
        # Padding follows every token that is read, so causal attention needs no mask for it.
        scores = self._family.probability(self._model(ids.to(self._device)).float()).cpu()
        return [tuple(row[list(r[1])].tolist()) for row, r in zip(scores, requests, strict=True)]

    def close(self) -> None:
        """Stop the scoring thread."""
        self._batcher.close()
