"""Skywork's PRMs as models of vLLM, which has none for them.

Importing this registers the architecture in the process: in this one, where `VLLMBackend` imports
it, and in the engine's own, where vLLM imports the module of `worker_extension_cls` before it loads
the model.
"""

from collections.abc import Iterable
from typing import Any

import torch
from vllm import ModelRegistry
from vllm.model_executor.models.adapters import as_seq_cls_model
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM

from runtime.verifiers.heads import SKYWORK_HEAD

_Classifier: Any = as_seq_cls_model(Qwen2ForCausalLM)


class Qwen2ForPrmModel(_Classifier):  # type: ignore[misc] # made by vLLM at run time
    """A classifier of one label, whose head is the checkpoint's value head."""

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load a checkpoint; the names of what was loaded."""
        renamed = ((name.replace(SKYWORK_HEAD, "score."), weight) for name, weight in weights)
        loaded: set[str] = super().load_weights(renamed)
        return loaded


class InWorkers:
    """Empty: naming it as the worker extension makes vLLM's workers import this module."""


ModelRegistry.register_model(Qwen2ForPrmModel.__name__, Qwen2ForPrmModel)
