"""Choosing and opening an engine."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from allocator.errors import InputError
from allocator.extras import missing, require
from runtime.engines.base import Engine

# auto, vllm, transformers, or the URLs of vllm servers, comma-separated.
EngineName = str

# OWNER/NAME, or the NAME of one of the hub's oldest models.
HUB_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")

# Files beside config.json that decide what a model samples.
FINGERPRINTED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "*.safetensors",
    "pytorch_model*.bin",
)

# Names that architectures have for the tokens they read at most.
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def resolve_model(name: str, field: str = "model") -> Path:
    """The folder of a model: a local one, or a hub model, downloaded if it has to be.

    Raises:
        InputError: neither a folder with a config.json nor a hub model that can be reached.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(
                field, name, "the folder has no config.json; give a Hugging Face model folder"
            )
        return folder
    if not HUB_NAME.fullmatch(name):
        raise InputError(
            field, name, "no such folder, and not on the hub either: names there are OWNER/NAME"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            field, name, f"no such folder, and not on the hub either ({error})"
        ) from None


def model_config(folder: Path) -> dict[str, Any]:
    """A model's config.json.

    Raises:
        InputError: damaged.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError("model", str(folder), f"its config.json is damaged ({error})") from None
    if not isinstance(config, dict):
        raise InputError("model", str(folder), "its config.json is no JSON object")
    return config


def model_dtype(folder: Path) -> str:
    """The dtype to load a model in: its checkpoint's, but float32 where there is no GPU."""
    import torch

    config = model_config(folder)
    stored = config.get("dtype") or config.get("torch_dtype") or "float32"
    return str(stored) if torch.cuda.is_available() else "float32"


def context_length(config: Any) -> int | None:
    """The tokens that a model reads at most, by the rules of vLLM.

    Args:
        config: the model's, of transformers.

    Returns:
        None for an architecture without a limit, as recurrent ones are.
    """
    text = config.get_text_config()
    positions = [getattr(text, name, None) for name in POSITIONS]
    found = [count for count in positions if count is not None]
    if not found:
        return None
    rope = getattr(text, "rope_parameters", None) or {}
    # Other kinds of scaling, and those with a kind for each sort of layer, are counted in already.
    scaled = rope.get("rope_type") in ("linear", "dynamic")
    return int(min(found) * (rope.get("factor") or 1 if scaled else 1))


def model_fingerprint(folder: Path) -> str:
    """A short hash of a model's configuration, tokenizer, chat template and weights.

    Weight files over 32 MiB are read at their head and tail only: enough to distinguish two
    models, and quick for large ones.
    """
    digest, edge = hashlib.sha256(), 16 * 2**20
    config = model_config(folder)
    # Version stamps change when a file is saved again; the model does not.
    config.pop("transformers_version", None)
    digest.update(json.dumps(config, sort_keys=True).encode())
    for path in sorted(found for kind in FINGERPRINTED for found in folder.glob(kind)):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            if size <= 2 * edge:
                digest.update(file.read())
            else:
                digest.update(file.read(edge))
                file.seek(size - edge)
                digest.update(file.read())
    return digest.hexdigest()[:16]


def engine_kind(name: EngineName) -> Literal["vllm", "transformers", "servers"]:
    """Which engine a name stands for on this machine; nothing is opened.

    Raises:
        InputError: an unknown name, or vLLM by name without being installed.
    """
    if name.startswith(("http://", "https://")):
        return "servers"
    if name not in ("auto", "vllm", "transformers"):
        raise InputError(
            "engine", name, "choose auto, vllm or transformers, or give the URL of a vllm server"
        )
    if name == "vllm":
        require("vllm", "engine", name)
    return "vllm" if missing("vllm") is None and name != "transformers" else "transformers"


@contextmanager
def open_engine(
    model: Path, name: EngineName = "auto", served: str | None = None, **engine_args: Any
) -> Iterator[Engine]:
    """An engine for as long as the block lasts.

    Must be opened inside the event loop that will use it.

    Args:
        model: the language model's folder.
        name: ``vllm`` or ``transformers``; ``auto`` takes vLLM where it is installed; or the URLs
            of servers such as `vllm serve`, comma-separated.
        served: the name the model has among servers that serve several.
        engine_args: further arguments of vLLM's engine; no other has any.

    Raises:
        InputError: an unknown name, a server that does not answer, vLLM by name without being
            installed, or an argument that the engine does not have.
    """
    kind = engine_kind(name)
    if engine_args and kind != "vllm":
        field, value = next(iter(engine_args.items()))
        raise InputError(field, value, f"an argument of vLLM's engine, and this is {name}")
    if kind == "servers":
        from runtime.engines.openai import OpenAIEngine

        remote = OpenAIEngine(name.split(","), model, served)
        try:
            yield remote
        finally:
            remote.close()
        return
    engine: Engine
    if kind == "transformers":
        from runtime.engines.transformers import TransformersEngine

        engine = TransformersEngine(model)
    else:
        from runtime.engines.vllm import VLLMEngine

        engine = VLLMEngine(model, **engine_args)
    try:
        yield engine
    finally:
        engine.close()
