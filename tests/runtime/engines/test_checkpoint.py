"""A model's dtype by its configuration, and its parameters by the headers of its files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from runtime.engines import checkpoint
from runtime.engines.checkpoint import loading_dtype, parameter_count, token_bytes


def test_parameters_are_counted_over_all_files(tmp_path: Path) -> None:
    assert parameter_count(tmp_path) is None
    for number, shape in enumerate(((3, 4), (5,)), start=1):
        weights = {"w": np.zeros(shape, np.float16)}
        save_file(weights, tmp_path / f"model-0000{number}-of-00002.safetensors")
    # The same weights again, as some models of the hub have them.
    save_file({"w": np.zeros(17, np.float16)}, tmp_path / "consolidated.safetensors")
    assert parameter_count(tmp_path) == 17


def test_files_of_another_name_are_counted(tmp_path: Path) -> None:
    save_file({"w": np.zeros((3, 4), np.float32)}, tmp_path / "weights.safetensors")
    assert parameter_count(tmp_path) == 12


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_packed_weights_are_not_counted(tmp_path: Path, dtype: type) -> None:
    save_file(
        {"w": np.zeros(8, np.float32), "q": np.zeros(8, dtype)}, tmp_path / "model.safetensors"
    )
    assert parameter_count(tmp_path) is None


def test_a_file_without_weights_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    assert parameter_count(tmp_path) is None


def test_on_a_gpu_models_load_as_their_checkpoints_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "has_gpu", lambda: True)
    assert loading_dtype() == "auto"
    monkeypatch.setattr(checkpoint, "has_gpu", lambda: False)
    assert loading_dtype() == "float32"


HEADS = {"num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64}


@pytest.mark.parametrize(
    ("config", "numbers"),
    [
        ({"num_hidden_layers": 24, **HEADS}, 24 * 2 * 8 * 64),
        ({"text_config": {"num_hidden_layers": 24, **HEADS}}, 24 * 2 * 8 * 64),
        # gpt-oss, whose every other layer reads the last 128 tokens.
        (
            {"layer_types": ["sliding_attention", "full_attention"] * 12}
            | {"num_hidden_layers": 24, **HEADS},
            12 * 2 * 8 * 64,
        ),
        # DeepSeek-V2-Lite.
        (
            {"num_hidden_layers": 27, "num_attention_heads": 16, "hidden_size": 2048}
            | {"kv_lora_rank": 512, "qk_rope_head_dim": 64},
            27 * (512 + 64),
        ),
    ],
)
def test_bytes_of_keys_and_values(tmp_path: Path, config: dict[str, Any], numbers: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    for dtype, size in {"auto": 2, "bfloat16": 2, "fp8_e4m3": 1, "float32": 4}.items():
        assert token_bytes(tmp_path, dtype) == size * numbers
    # Heads are shared out, as far as there are any; a compressed vector is on each GPU.
    for gpus, share in {4: 4, 16: 8}.items():
        parts = 1 if "kv_lora_rank" in config else share
        assert token_bytes(tmp_path, "auto", gpus) == 2 * numbers // parts
