"""Choosing and opening a verifier."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from allocator.errors import InputError
from runtime.verifiers.base import FamilyName

if TYPE_CHECKING:
    from runtime.verifiers.model_verifier import Backend, ModelVerifier

VerifierEngine = Literal["auto", "vllm", "transformers"]


def open_verifier(
    folder: Path,
    language_model: Any,
    family: FamilyName = "auto",
    engine: VerifierEngine = "auto",
) -> "ModelVerifier":
    """A verifier.

    Args:
        folder: a Hugging Face model folder.
        language_model: the language model's tokenizer.
        family: its convention; ``auto`` recognises it from its configuration.
        engine: what runs it. ``auto`` takes vLLM on a GPU, if it is installed and serves the
            family; on CPU two engines would fight for the cores.

    Raises:
        InputError: an unknown family, a model that cannot be loaded, or vLLM requested by name
            where it is missing or does not serve the family.
    """
    import torch
    from transformers import AutoTokenizer

    from runtime.verifiers.families import FAMILIES, recognise
    from runtime.verifiers.in_transformers import TransformersBackend
    from runtime.verifiers.model_verifier import ModelVerifier

    name = recognise(folder, family)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (ValueError, OSError) as error:
        raise InputError("verifier", str(folder), f"it has no tokenizer: {error}") from error
    made = FAMILIES[name](tokenizer, language_model, folder)
    installed = importlib.util.find_spec("vllm") is not None
    wanted = engine == "vllm" or (engine == "auto" and torch.cuda.is_available())
    vllm_args = made.vllm_args(folder) if wanted and installed else None
    if engine == "vllm" and vllm_args is None:
        why = f"vLLM does not serve {name}" if installed else "vLLM is not installed"
        raise InputError("verifier engine", engine, f"{why}; leave it at auto")
    backend: Backend
    if vllm_args is not None:
        from runtime.verifiers.in_vllm import VLLMBackend

        backend = VLLMBackend(folder, made, vllm_args)
    else:
        backend = TransformersBackend(folder, made)
    return ModelVerifier(made, backend, f"{folder.name} (family {name})")
