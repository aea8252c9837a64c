"""A language model's state at the last token of a prompt, for engines that do not give it.

vLLM 0.32 gives the states of a model that generates only through speculative decoding's place
(`extract_hidden_states`), one file of all tokens' states a request, and the pooling runner, which
would give the last one alone, does not generate. A prompt is short beside its solutions: reading
it once more in transformers costs less than either.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from runtime.engines.base import Engine, HasHiddenState
from runtime.engines.batching import MicroBatcher
from runtime.engines.checkpoint import loading_dtype, parameter_count, weight_bytes
from runtime.engines.environment import has_gpu

MAX_BATCH = 32
ROOM = 1.25  # memory for a model and what it computes of a batch, over that of its weights


class PromptEncoder:
    """Computes hidden states of prompts, on a GPU if there is one with room for the model.

    The model is loaded at the first use, for few tables need it, and in the thread that reads, so
    that the event loop goes on.

    Args:
        model: the language model's folder.

    Attributes:
        folder: likewise.
    """

    def __init__(self, model: Path) -> None:
        self.folder = model
        self._model: Any = None
        self._batcher: MicroBatcher[tuple[int, ...], NDArray[np.float32]] = MicroBatcher(
            self._read, MAX_BATCH
        )

    async def hidden_state(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """The state at the last token; see `runtime.engines.base.HasHiddenState`.

        Raises:
            InputError: transformers cannot load the model.
        """
        return await self._batcher.submit(tuple(token_ids))

    def _load(self) -> Any:
        """The model, where it is to run."""
        from transformers import AutoModel

        try:
            model = AutoModel.from_pretrained(self.folder, dtype=loading_dtype())
        except (ValueError, OSError) as error:
            raise InputError(
                "model", str(self.folder), f"transformers cannot load it: {error}"
            ) from error
        on_gpu = has_gpu() and _fits(self.folder)
        return model.to("cuda" if on_gpu else "cpu").eval()

    def _read(self, prompts: list[tuple[int, ...]]) -> list[NDArray[np.float32]]:
        import torch

        if self._model is None:
            self._model = self._load()
        # Padded on the right, where a causal model does not look.
        width = max(map(len, prompts))
        ids = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts])
        mask = torch.tensor([[1] * len(p) + [0] * (width - len(p)) for p in prompts])
        with torch.inference_mode():
            states = self._model(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                use_cache=False,
            ).last_hidden_state
        last = [len(prompt) - 1 for prompt in prompts]
        return list(states[range(len(prompts)), last].float().cpu().numpy())

    def close(self) -> None:
        """Stop the reading thread."""
        self._batcher.close()


def _fits(model: Path) -> bool:
    """Whether the GPU has memory left for a model and what it computes, beside open engines.

    A model of unknown size does not fit: on a CPU it is slower, on a full GPU it ends the process.
    """
    import torch

    if parameter_count(model) is None:
        return False
    free, _ = torch.cuda.mem_get_info()
    return bool(free > ROOM * weight_bytes(model))


@contextmanager
def open_hidden_states(engine: Engine, model: Path) -> Iterator[HasHiddenState]:
    """A source of hidden states for the length of the block: the engine itself, if it gives them.

    Args:
        engine: the engine that decodes.
        model: its model's folder.
    """
    if isinstance(engine, HasHiddenState):
        yield engine
        return
    encoder = PromptEncoder(model)
    try:
        yield encoder
    finally:
        encoder.close()
