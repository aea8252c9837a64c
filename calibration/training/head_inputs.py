"""What a likelihood head learns from: its language model runs over an example once."""

from collections.abc import Sequence

import torch

from calibration.training.fine_tune import Example, padded
from runtime.verifiers.likelihood import LikelihoodHead, LikelihoodModel

KEPT_BYTES = 2 * 2**30


class HeadInputs:
    """Gives a head what its language model finds at the labelled tokens of examples.

    The model does not learn, so what it finds in one epoch is kept for the next, up to `room`
    bytes. The model reads the other examples again in every epoch.

    Args:
        model: the model and its head.
        room: bytes of memory.
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
            self._room -= states.nbytes
            if self._room >= 0:
                self._kept[example] = states.clone()  # without the others of its pass
        logits: torch.Tensor = head(torch.cat(found).to(device))
        return logits[..., 0]

    def _read(self, examples: Sequence[Example], device: str) -> Sequence[torch.Tensor]:
        """What the model finds in each example, shape (labelled tokens, size + 3).

        It runs as it will when it verifies: in half precision on a GPU alone.
        """
        ids, targets = padded(examples, device)
        starts = torch.tensor([example.prompt_tokens for example in examples], device=device)
        written = torch.arange(ids.shape[1], device=device) >= starts[:, None]
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            found, _ = self._model.to(device).read(ids, written, use_cache=False)
        labelled = ~targets.isnan()
        return torch.split(found[labelled].cpu(), labelled.sum(1).tolist())
