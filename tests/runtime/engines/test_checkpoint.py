"""A model's dtype by its configuration, and its parameters by the headers of its files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from runtime.engines import checkpoint
from runtime.engines.checkpoint import model_dtype, parameter_count


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


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"dtype": "float16"}, "float16"),
        ({"torch_dtype": "bfloat16"}, "bfloat16"),
        ({"text_config": {"dtype": "bfloat16"}}, "bfloat16"),
        ({"dtype": None, "text_config": {"torch_dtype": "float16"}}, "float16"),
        ({"text_config": {}}, "float32"),
        ({}, "float32"),
    ],
)
def test_the_dtype_on_a_gpu_is_the_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], dtype: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(checkpoint, "has_gpu", lambda: True)
    assert model_dtype(tmp_path) == dtype
    monkeypatch.setattr(checkpoint, "has_gpu", lambda: False)
    assert model_dtype(tmp_path) == "float32"
