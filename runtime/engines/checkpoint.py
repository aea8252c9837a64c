"""A model's folder: found by the model's name, read and fingerprinted, without loading weights."""

import hashlib
import json
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from allocator.flops import ModelSizes
from runtime.engines.environment import has_gpu

CONFIG = "config.json"

# OWNER/NAME, or the NAME of one of the hub's oldest models.
HUB_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")

# Files besides config.json that decide what a model samples.
FINGERPRINTED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "*.safetensors",
    "pytorch_model*.bin",
)

# Weights on the hub in forms that are not read here: Llama's come a second time as original/*.pth,
# gpt-oss's a second and a third time.
UNREAD = (
    *("original/*", "metal/*", "consolidated*"),
    *("*.pth", "*.gguf", "*.onnx", "*.msgpack", "*.h5"),
)

# Dtypes in which quantized checkpoints store several weights in one number.
PACKED = ("I32", "U32", "U8")

# Names that architectures have for the tokens they read at most.
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def resolve_model(name: str, field: str = "model") -> Path:
    """The folder of a model: a local one, or a hub model, downloaded if it has to be.

    Raises:
        InputError: neither a folder with a config.json nor a hub model that can be reached.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
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
        return Path(snapshot_download(name, ignore_patterns=UNREAD))
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
        config = json.loads((folder / CONFIG).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError("model", str(folder), f"its config.json is damaged ({error})") from None
    if not isinstance(config, dict):
        raise InputError("model", str(folder), "its config.json is no JSON object")
    return config


def loading_dtype() -> str:
    """The dtype to load models in: float32 where there is no GPU, elsewhere ``auto``.

    That is the checkpoint's, which config.json need not name (gpt-oss's does not), and in vLLM half
    precision for one of float32.
    """
    return "auto" if has_gpu() else "float32"


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


def parameter_count(folder: Path) -> int | None:
    """A model's parameters, by the headers of its safetensors files.

    Tied embeddings are stored, and count, once.

    Returns:
        None where there are no such files, one of them is damaged or a pointer of Git LFS, or
        weights are packed, several in one number.
    """
    from safetensors import SafetensorError, safe_open

    counted = 0
    for file in _safetensors(folder):
        try:
            with safe_open(file, "np") as tensors:
                slices = [tensors.get_slice(name) for name in tensors.keys()]  # noqa: SIM118
        except SafetensorError:
            return None
        if any(tensor.get_dtype() in PACKED for tensor in slices):
            return None
        counted += sum(prod(tensor.get_shape()) for tensor in slices)
    return counted or None


def weight_bytes(folder: Path) -> int:
    """Bytes of a model's weights as they are stored; 0 where there are none."""
    files = _safetensors(folder) or [*folder.glob("pytorch_model*.bin")]
    return sum(file.stat().st_size for file in files)


def token_bytes(folder: Path, dtype: str, tensor_parallel: int = 1) -> int | None:
    """Bytes of a token's keys and values on a GPU, in all layers of a transformer.

    Layers with a sliding window do not count: they keep their last tokens alone.

    Args:
        folder: the model's.
        dtype: of the keys and values, ``auto`` if they are the model's own.
        tensor_parallel: GPUs that share the heads; each has at least one.

    Returns:
        None where the configuration does not have the usual names.
    """
    config = model_config(folder)
    text = config.get("text_config", config)
    try:
        kinds = text.get("layer_types") or ["full_attention"] * text["num_hidden_layers"]
        layers = kinds.count("full_attention") or len(kinds)
        if text.get("kv_lora_rank"):  # of DeepSeek: all heads have one compressed vector
            width = text["kv_lora_rank"] + text["qk_rope_head_dim"]  # on each of the GPUs
        else:
            heads = text["num_attention_heads"]
            of_head = text.get("head_dim") or text["hidden_size"] // heads
            shared = text.get("num_key_value_heads") or heads
            width = 2 * max(1, shared // tensor_parallel) * of_head
    except KeyError:
        return None
    size = 1 if "fp8" in dtype else 4 if dtype in ("float32", "float") else 2
    return int(layers * width * size)


def _safetensors(folder: Path) -> list[Path]:
    # Some models are there twice, the second time in a file of another name.
    return [*folder.glob("model*.safetensors")] or [*folder.glob("*.safetensors")]


def model_sizes(folders: Mapping[str, Path]) -> ModelSizes | None:
    """Parameters of several models; None where the size of any of them is unknown.

    Args:
        folders: the models' folders, by their names in `allocator.flops.ModelSizes`.
    """
    counts = {which: parameter_count(folder) for which, folder in folders.items()}
    return None if None in counts.values() else ModelSizes.model_validate(counts)


def model_fingerprint(folder: Path) -> str:
    """A short hash of a model's configuration, tokenizer, chat template and weights.

    Weight files over 32 MiB are read at their head and tail only: enough to tell two models
    apart, and quick for large ones.
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
