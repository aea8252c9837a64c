"""What an artifact's settings say of its models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from allocator.flops import ModelSizes
from runtime.engines.base import SamplingSettings
from runtime.settings import Settings

COUNTS = {"model": 3, "verifier": 5, "reviser": 7, "reviser_verifier": 11}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder of each model, with as many parameters as `COUNTS` says."""
    for name, count in COUNTS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        save_file({"w": np.zeros(count, np.float32)}, tmp_path / name / "model.safetensors")
    return tmp_path


def settings_of(*named: str) -> Settings:
    models: dict[str, Any] = {"verifier": None} | {name: name for name in named}
    return Settings(answers="last_number", sampling=SamplingSettings(), **models)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_sizes_are_those_of_the_models_that_are_named(folders: Path, count: int) -> None:
    named = list(COUNTS)[:count]
    expected = ModelSizes.model_validate({name: COUNTS[name] for name in named})
    assert settings_of(*named).sizes(folders) == expected


def test_sizes_are_unknown_where_one_is(folders: Path) -> None:
    (folders / "verifier" / "model.safetensors").unlink()
    assert settings_of("model").sizes(folders) is not None
    assert settings_of("model", "verifier").sizes(folders) is None
