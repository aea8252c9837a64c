"""What an artifact's settings say of its models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from allocator.flops import ModelSizes
from benchmarks.testbed.paths import SETTINGS
from runtime.answers.graders import grader_file
from runtime.engines.base import SamplingSettings
from runtime.models import open_models
from runtime.settings import Settings
from tests.support.cli import MODELS, TASK, refused

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


def test_models_are_found_from_a_linked_folder(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders / "deep" / "down" / "artifact").mkdir(parents=True)
    (folders / "out").symlink_to(folders / "deep" / "down")
    (folders / "linked").symlink_to(folders / "verifier")
    (folders / "grader.py").write_text("")
    monkeypatch.chdir(folders)
    names = {"verifier": "linked", "reviser": "out/../../reviser", "answers": "python:grader.py"}
    settings = settings_of("model").model_copy(update=names)
    written = settings.relative_to(Path("out/artifact"))
    assert written.verifier == "../../../linked", "elsewhere on another machine"
    for base in (Path("out/artifact"), folders / "deep" / "down" / "artifact"):
        for which, name in {"model": "model", "verifier": "verifier", "reviser": "reviser"}.items():
            found = written.local_folder(base, which)
            assert found is not None
            assert found.samefile(folders / name)
        grader = grader_file(written.answers, base)
        assert grader is not None
        assert grader.samefile(folders / "grader.py")


@pytest.mark.slow
def test_the_verifiers_time_is_that_of_the_settings(run: Any) -> None:
    async def opened(settings: Settings) -> float:
        async with open_models(settings, Path(), "transformers") as models:
            return models.verifier_timeout

    assert run(opened(SETTINGS)) == 3600
    assert run(opened(SETTINGS.model_copy(update={"verifier_timeout": 7.5}))) == 7.5


@pytest.mark.parametrize(
    ("option", "value"),
    [("verifier-timeout", "0"), ("verifier-timeout", "nan"), ("max-steps", "0")],
)
def test_limits_that_allow_nothing_are_refused(tmp_path: Path, option: str, value: str) -> None:
    command = ["calibrate", "prompts.jsonl", "--out", tmp_path / "out", *MODELS, *TASK]
    message = refused(*command, f"--{option}", value)
    assert f"{option.replace('-', '_')}: {value}" in message
