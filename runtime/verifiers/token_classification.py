"""PRMs that classify tokens: the prediction is read at the last token of every step.

One label is read through a sigmoid (the testbed's PRM); of two labels, the second one's softmax
probability is the score (the convention of Qwen2.5-Math-PRM).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from allocator.errors import InputError
from runtime.batching import MicroBatcher
from runtime.engines.loading import model_dtype

# Sequences and tokens in one forward pass: enough to fill 2 cores, small enough to stay in cache.
MAX_SEQUENCES = 1024
MAX_TOKENS = 8192
# Scores kept. The steps of a growing beam, and those that beams have in common, are scored once;
# the limit holds memory to some hundred megabytes at solutions of a hundred tokens.
REMEMBERED = 100_000

_Request = tuple[tuple[int, ...], tuple[int, ...]]  # token ids, positions to read


class TokenClassificationPRM:
    """A token-classification PRM that shares the language model's tokens.

    Args:
        model: a Hugging Face model folder.
        tokenizer: the language model's tokenizer, which the verifier must share.

    Raises:
        InputError: not a token classifier with one or two labels, or another vocabulary.
    """

    def __init__(self, model: Path, tokenizer: Any) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            own = AutoTokenizer.from_pretrained(model)
            self._model, loaded = AutoModelForTokenClassification.from_pretrained(
                model, dtype=model_dtype(model), output_loading_info=True
            )
        except (ValueError, OSError) as error:
            raise InputError(
                "verifier", str(model), f"transformers cannot load it: {error}"
            ) from error
        if loaded["missing_keys"]:
            raise InputError(
                "verifier",
                str(model),
                f"it has no weights for {sorted(loaded['missing_keys'])}: not a token classifier; "
                "give a PRM",
            )
        if own.get_vocab() != tokenizer.get_vocab():
            raise InputError(
                "verifier",
                str(model),
                "its vocabulary is not the language model's; choose a verifier of the same family",
            )
        if self._model.config.num_labels > 2:
            raise InputError(
                "verifier",
                str(model),
                f"it has {self._model.config.num_labels} labels; a PRM has one or two",
            )
        self._model.to(self._device).eval()
        self._name = str(model)
        # Scores by the tokens up to the step, oldest first.
        self._known: dict[tuple[int, ...], float] = {}
        self._batcher: MicroBatcher[_Request, tuple[float, ...]] = MicroBatcher(
            self._score_batch, MAX_SEQUENCES
        )

    async def score(
        self, prompt_ids: Sequence[int], steps: Sequence[tuple[int, ...]]
    ) -> tuple[float, ...]:
        """Score every step; see `runtime.verifier.Verifier.score`."""
        ids, ends = list(prompt_ids), []
        for step in steps:
            ids.extend(step)
            ends.append(len(ids))
        prefixes = [tuple(ids[:end]) for end in ends]
        # Taken now: while this waits for the others, a score may be forgotten again.
        found = {prefix: self._known[prefix] for prefix in prefixes if prefix in self._known}
        missing = tuple(end - 1 for end, p in zip(ends, prefixes, strict=True) if p not in found)
        if missing:
            scores = await self._batcher.submit((prefixes[-1], missing))
            if any(score != score for score in scores):
                raise InputError(
                    "verifier",
                    self._name,
                    "it returned NaN; check its weights, or load it in float32",
                )
            new = {tuple(ids[: at + 1]): score for at, score in zip(missing, scores, strict=True)}
            found |= new
            self._known |= new
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return tuple(found[prefix] for prefix in prefixes)

    def _score_batch(self, requests: list[_Request]) -> list[tuple[float, ...]]:
        # Beams often hold the same text: each distinct request is scored once. Sorted by length,
        # the passes carry little padding.
        results: dict[_Request, tuple[float, ...]] = {}
        distinct = sorted(set(requests), key=lambda request: len(request[0]))
        while distinct:
            count = max(1, MAX_TOKENS // len(distinct[-1][0]))
            part, distinct = distinct[-count:], distinct[:-count]
            results.update(zip(part, self._forward(part), strict=True))
        return [results[request] for request in requests]

    @torch.inference_mode()
    def _forward(self, requests: list[_Request]) -> list[tuple[float, ...]]:
        width = len(requests[-1][0])
        ids = torch.tensor([list(r[0]) + [0] * (width - len(r[0])) for r in requests])
        # Padding follows every position that is read, so causal attention needs no mask for it.
        logits = self._model(input_ids=ids.to(self._device)).logits.float()
        one_label = logits.shape[-1] == 1
        scores = logits[..., 0].sigmoid() if one_label else logits.softmax(-1)[..., 1]
        return [
            tuple(row[list(r[1])].tolist()) for row, r in zip(scores.cpu(), requests, strict=True)
        ]

    def close(self) -> None:
        """Stop the scoring thread."""
        self._batcher.close()
