"""The networks of verifiers: a backbone or a language model, and the head read at every token."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from allocator.errors import InputError
from runtime.engines.checkpoint import loading_dtype
from runtime.engines.environment import has_gpu

Head = TypeVar("Head", bound=nn.Module)

SKYWORK_HEAD = "v_head.summary."  # prefix of its weights in checkpoints


class HeadedModel(nn.Module):
    """A backbone and a head that is read at every token: ids (batch, width) -> logits."""

    def __init__(self, backbone: Any, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head, self.config = backbone, head, backbone.config

    def forward(self, input_ids: torch.Tensor, **cache: Any) -> torch.Tensor:
        hidden = self.backbone(input_ids=input_ids, **cache).last_hidden_state
        logits: torch.Tensor = self.head(hidden)
        return logits


def headed(model: Any) -> HeadedModel:
    """A token or sequence classifier of transformers, its head to be read at every token."""
    head = model.score if hasattr(model, "score") else model.classifier
    return HeadedModel(model.base_model, head)


class TokenLogits(nn.Module):
    """A language model reduced to the logits of some tokens: ids (batch, width) -> logits
    (batch, width, tokens).
    """

    def __init__(self, model: Any, tokens: list[int]) -> None:
        super().__init__()
        self.model, self.tokens, self.config = model, tokens, model.config

    def forward(self, input_ids: torch.Tensor, **cache: Any) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, **cache).logits
        return logits[..., self.tokens]


def load_pretrained(kind: Any, folder: Path, dtype: str | None = None) -> Any:
    """A model of one of transformers' classes, with all its weights.

    Args:
        kind: the class, such as `Qwen2Model`.
        folder: the model's.
        dtype: numbers to load it in; None takes what suits the device.

    Raises:
        InputError: transformers cannot load it, or some weights are missing.
    """
    try:
        model, loaded = kind.from_pretrained(
            folder, dtype=dtype or loading_dtype(), output_loading_info=True
        )
    except (ValueError, OSError) as error:
        raise InputError(
            "verifier", str(folder), f"transformers cannot load it: {error}"
        ) from error
    if loaded["missing_keys"]:
        raise InputError(
            "verifier",
            str(folder),
            f"it has no weights for {sorted(loaded['missing_keys'])}; give a trained verifier",
        )
    return model


def load_head(kind: Callable[[], Head], folder: Path, prefix: str) -> Head:
    """A head, its weights from the folder's safetensors files.

    Args:
        kind: makes it. Its first weights are never drawn: that would move the generator that all
            code in this process shares.
        folder: the model's.
        prefix: of the head's weights in the files.

    Raises:
        InputError: the files' weights of that prefix are not the head's.
    """
    from safetensors import safe_open

    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                if key.startswith(prefix):
                    found[key.removeprefix(prefix)] = file.get_tensor(key)
    with torch.device("meta"):
        head = kind()
    wanted = head.state_dict()
    if found.keys() != wanted.keys():
        raise InputError(
            "verifier",
            str(folder),
            f"its safetensors files hold no {prefix}* weights as the family has them",
        )
    head.load_state_dict(found, assign=True)
    dtype = next(iter(found.values())).dtype if has_gpu() else torch.float32
    return head.to(dtype)
