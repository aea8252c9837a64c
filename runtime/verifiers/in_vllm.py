"""Verifiers through vLLM's pooling runner, whose prefix cache makes a growing solution cheap."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import torch

from allocator.errors import ModelError
from runtime.engines.vllm import final_output
from runtime.engines.vllm_core import VLLMCore, resources
from runtime.verifiers.layout import Family, Layout
from runtime.verifiers.pacing import ReadPacer


class VLLMBackend:
    """Runs a family's model in a vLLM engine of its own.

    vLLM's per-token pooling leaves the prefix cache unread (its `skip_reading_prefix_cache`),
    because cached tokens have no output. Here it is read all the same: the places that fall in
    the cached part have been scored before, as a rule, and are remembered; where one has been
    forgotten the whole text is run over once more.

    Texts that come within a short while are read in one pass: see `runtime.verifiers.pacing`.

    Args:
        folder: the model.
        family: how it is read.
        engine_args: the family's `vllm_args`, and the user's.

    Attributes:
        context_length: tokens that the model reads at most.

    Raises:
        InputError: vLLM cannot serve the model; the message is vLLM's own.
    """

    def __init__(self, folder: Path, family: Family, engine_args: dict[str, Any]) -> None:
        from vllm.config import PoolerConfig

        self._family, self._pacer = family, ReadPacer()
        args = {"runner": "pooling"} | engine_args
        if "pooler_config" in args:
            args["pooler_config"] = PoolerConfig(**args["pooler_config"])
        if "worker_extension_cls" in args:
            importlib.import_module(args["worker_extension_cls"].rpartition(".")[0])
        self._core = VLLMCore.start("verifier", folder, args)
        self.context_length: int = self._core.engine.model_config.max_model_len

    async def read(self, layout: Layout) -> tuple[tuple[float, ...], int]:
        """Probabilities at the places, and the tokens run over.

        Raises:
            ModelError: vLLM gave the request up, which ends one without logits.
        """
        token_ids, score_positions = layout.token_ids, layout.score_positions
        logits = await self._pacer.read(partial(self._logits, token_ids, skip_cache=False))
        run_over = len(logits)
        first = len(token_ids) - len(logits)
        if score_positions[0] < first:
            logits = await self._logits(token_ids, skip_cache=True)
            if not len(logits):
                raise ModelError("verifier", "vLLM ended the request without an output")
            run_over += len(logits)
            first = 0
        scores = self._family.probability(logits[[place - first for place in score_positions]])
        return tuple(scores.tolist()), run_over

    async def _logits(self, token_ids: tuple[int, ...], skip_cache: bool) -> torch.Tensor:
        """Logits of the tokens that were run over, the last ones; shape (tokens, labels)."""
        from vllm import PoolingParams

        params = PoolingParams(
            task="token_classify", use_activation=False, skip_reading_prefix_cache=skip_cache
        )
        output = await final_output(self._core, token_ids, params)
        logits: torch.Tensor = output.outputs.data.float()
        return logits

    @property
    def resources(self) -> str:
        """What it runs on, in words."""
        return resources(self._core.engine)

    @property
    def alive(self) -> bool:
        """Whether the engine's process runs."""
        return self._core.alive

    def close(self) -> None:
        """Stop the engine's process."""
        self._core.close()
