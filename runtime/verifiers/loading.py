"""Choosing and opening a verifier."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from allocator.errors import InputError
from runtime.engines.engine_args import EngineArgs, check_unchanged
from runtime.engines.environment import has_gpu
from runtime.engines.loading import named_kind
from runtime.verifiers.base import FamilyName

if TYPE_CHECKING:
    from runtime.verifiers.layout import Family
    from runtime.verifiers.model_verifier import Backend, ModelVerifier

# auto, vllm, transformers, or the URLs of vllm servers, comma-separated.
VerifierEngine = str


def verifier_kind(engine: VerifierEngine) -> Literal["auto", "vllm", "transformers", "servers"]:
    """What an engine's name stands for.

    Raises:
        InputError: an unknown name.
    """
    return named_kind(engine, "verifier engine")


def open_verifier(
    folder: Path,
    language_model: Any,
    family: FamilyName = "auto",
    engine: VerifierEngine = "auto",
    args: EngineArgs | None = None,
    defaults: EngineArgs | None = None,
    served: str | None = None,
) -> "ModelVerifier":
    """A verifier.

    Args:
        folder: a Hugging Face model folder.
        language_model: the language model's tokenizer.
        family: its convention; ``auto`` recognises it from its configuration.
        engine: what runs it. ``auto`` takes vLLM on a GPU, if it is installed and serves the
            family, or where the engine has arguments; on CPU two engines would fight for the cores.
            URLs are of `vllm serve`, see `runtime.verifiers.behind_server`.
        args: arguments of its vLLM engine. In transformers `device_ids` names the one GPU, and the
            others do not apply; servers are started with their own.
        defaults: of the same, for vLLM alone.
        served: the name the model has among servers that serve several.

    Raises:
        InputError: an unknown family, a model that cannot be loaded, an argument that cannot be
            honoured, vLLM requested by name where it is missing or does not serve the family, or
            servers that do not serve the verifier as it is read.
    """
    from transformers import AutoTokenizer

    from runtime.verifiers.families import FAMILIES, recognise
    from runtime.verifiers.in_transformers import TransformersBackend
    from runtime.verifiers.model_verifier import ModelVerifier

    args, defaults, kind = args or {}, defaults or {}, verifier_kind(engine)
    name = recognise(folder, family)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (ValueError, OSError) as error:
        raise InputError("verifier", str(folder), f"it has no tokenizer: {error}") from error
    made = FAMILIES[name](tokenizer, language_model, folder)
    backend: Backend
    if kind == "servers":
        from runtime.verifiers.behind_server import ServerBackend

        backend = ServerBackend(engine.split(","), folder, made, name, served)
    elif (vllm_args := _vllm_args(made, name, folder, engine, args)) is not None:
        from runtime.verifiers.in_vllm import VLLMBackend

        backend = VLLMBackend(folder, made, vllm_args | defaults | args)
    else:
        check_unchanged("verifier_args", args)
        backend = TransformersBackend(folder, made, gpu=_only_gpu(args))
    return ModelVerifier(made, backend, f"{folder.name} (family {name})")


def _vllm_args(
    made: "Family", name: str, folder: Path, engine: VerifierEngine, args: EngineArgs
) -> EngineArgs | None:
    """The family's arguments of vLLM's engine; None where transformers is to run it.

    Raises:
        InputError: vLLM was requested, by name or by arguments, and cannot run it.
    """
    others = {arg: value for arg, value in args.items() if arg != "device_ids"}
    preferred = engine == "auto" and (bool(others) or has_gpu())
    if engine != "vllm" and not preferred:
        return None
    installed = importlib.util.find_spec("vllm") is not None
    vllm_args = made.vllm_args(folder) if installed else None
    why = f"vLLM does not serve {name}" if installed else "vLLM is not installed"
    if vllm_args is None and engine == "vllm":
        raise InputError("verifier engine", engine, f"{why}; leave it at auto")
    if vllm_args is None and others:
        raise InputError("verifier_args", others, f"{why}; leave out all but device_ids")
    return vllm_args


def _only_gpu(args: EngineArgs) -> int:
    """The GPU that a verifier in transformers runs on.

    Raises:
        InputError: several, or one that is not there.
    """
    import torch

    named = args.get("device_ids") or [0]
    if not has_gpu():
        return 0
    if len(named) != 1 or named[0] not in range(torch.cuda.device_count()):
        raise InputError(
            "device_ids",
            named,
            f"must be one GPU of {torch.cuda.device_count()}, for transformers runs the verifier",
        )
    return int(named[0])
