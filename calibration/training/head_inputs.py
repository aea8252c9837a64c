"""What a likelihood head learns from: its language model is run once, not once an epoch."""

from collections.abc import Sequence

import torch

from calibration.training.fine_tune import Example, half_precision, padded
from runtime.verifiers.likelihood import LikelihoodHead, LikelihoodModel

KEPT_BYTES = 4 * 2**30


class HeadInputs:
    """Gives a head what its language model finds at the labelled tokens of examples.

    The model stays as it is, so that what it finds is kept for the next epoch. Examples for which
    there is no more room are read again in each.

    Args:
        model: the model and its head.
        room: bytes of memory to keep it in.
    """

    def __init__(self, model: LikelihoodModel, room: int = KEPT_BYTES) -> None:
        self._model, self._room = model, room
        self._kept: dict[Example, torch.Tensor] = {}

    def logits(self, head: LikelihoodHead, batch: Sequence[Example], device: str) -> torch.Tensor:
        """The head's logits; see `calibration.training.classifiers.Logits`."""
        new = [example for example in batch if example not in self._kept]
        read = dict(zip(new, self._read(new, device), strict=True)) if new else {}
        found = [read[e] if e in read else self._kept[e] for e in batch]
        for example, states in read.items():
            if states.nbytes <= self._room:
                self._kept[example] = states
                self._room -= states.nbytes
        logits: torch.Tensor = head(torch.cat(found).to(device))
        return logits[..., 0]

    def _read(self, examples: Sequence[Example], device: str) -> Sequence[torch.Tensor]:
        """What stands at each example's labelled tokens, shape (labelled tokens, size + 3)."""
        ids, targets = padded(examples, device)
        starts = torch.tensor([example.prompt_tokens for example in examples], device=device)
        written = torch.arange(ids.shape[1], device=device) >= starts[:, None]
        with half_precision(device):
            found, _ = self._model.to(device).read(ids, written, use_cache=False)
        labelled = ~targets.isnan()
        return torch.split(found[labelled].cpu(), labelled.sum(1).tolist())
