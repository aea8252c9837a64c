"""What is wrong with an artifact's files and models, and how they fit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.testbed.paths import ARTIFACT, BASE, PRM, REVISER, REVISER_ORM
from calibration.doctor.artifact import ArtifactCheck, ArtifactFound, ModelFound, memory_problem
from calibration.doctor.machine import GIB, Memory
from runtime.artifact import LOG_VERIFIER, SETTINGS, TABLE
from tests.support.checkpoints import own_tokenizer
from tests.support.cli import copied_artifact

OTHER = ARTIFACT.parents[1] / "rewriting" / "models" / "base"
WEIGHTS = "model.safetensors"


def checked(folder: Path) -> tuple[ArtifactFound, list[str]]:
    check = ArtifactCheck(folder)
    return check.run(), check.problems


def copied(model: Path, folder: Path) -> Path:
    """A model that a test may break."""
    return Path(shutil.copytree(model, folder / model.name))


def changed(path: Path, **values: Any) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_nothing_is_wrong_with_the_committed_artifact() -> None:
    found, problems = checked(ARTIFACT)
    assert problems == []
    assert (found.loads, found.from_logs) == (True, False)
    assert found.models.keys() == {"model", "verifier"}
    model = found.models["model"]
    assert model.folder is not None
    assert model.folder.samefile(BASE)
    assert (model.parameters, model.context, model.vocabulary) == (806_656, 256, 21)


def test_a_reviser_and_its_verifier_are_examined_too(tmp_path: Path) -> None:
    revising = {"reviser": str(REVISER), "reviser_verifier": str(REVISER_ORM)}
    found, problems = checked(copied_artifact(tmp_path, **revising))
    assert found.models.keys() == {"model", "verifier", "reviser", "reviser_verifier"}
    # The table was made without them.
    assert [problem.partition(":")[0] for problem in problems] == [
        "artifact reviser",
        "artifact reviser_verifier",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "table.json': damaged; calibrate again"),
        ("[]", "table.json': damaged; calibrate again"),
        ('{"schema_version": 999}', "schema_version: 999: a newer library wrote it"),
    ],
)
def test_a_damaged_file_is_told_once_and_models_are_examined_all_the_same(
    text: str, told: str, tmp_path: Path
) -> None:
    folder = copied_artifact(tmp_path)
    (folder / TABLE).write_text(text)
    found, (problem,) = checked(folder)
    assert told in problem
    assert not found.loads
    assert found.models["verifier"].vocabulary == 21


def test_a_folder_without_an_artifact_is_told_so(tmp_path: Path) -> None:
    found, problems = checked(tmp_path)
    assert not found.loads
    assert "make one with ttc calibrate" in problems[0]


def test_an_artifact_made_from_logs_has_no_models(tmp_path: Path) -> None:
    folder = copied_artifact(tmp_path)
    (folder / SETTINGS).unlink()
    table = json.loads((folder / TABLE).read_text())
    changed(folder / TABLE, fingerprint=table["fingerprint"] | {"verifier": LOG_VERIFIER})
    found, problems = checked(folder)
    assert problems == []
    assert (found.from_logs, found.models) == (True, {})


def test_models_that_are_not_there_are_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = copied_artifact(tmp_path, model="../nowhere/base", verifier="nobody/no-such-model")
    found, (model, verifier) = checked(folder)
    assert model.startswith("model: '../nowhere/base': there is no folder ")
    assert verifier.startswith("verifier: 'nobody/no-such-model': it is not on this machine")
    assert verifier.endswith("run: hf download nobody/no-such-model")
    assert [one.folder for one in found.models.values()] == [None, None]


def test_a_model_of_the_hub_is_found_where_it_was_downloaded_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, commit = tmp_path / "models--somebody--base", "0" * 40
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text(commit)
    shutil.copytree(BASE, stored / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found, problems = checked(copied_artifact(tmp_path, model="somebody/base"))
    assert problems == []
    assert found.models["model"].folder == stored / "snapshots" / commit


def unpack_shards(model: Path) -> str:
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (model / WEIGHTS).rename(model / names["a"])
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return names["b"] + " is missing"


def damage_index(model: Path) -> str:
    (model / "model.safetensors.index.json").write_text("[]")
    return "model.safetensors.index.json is damaged"


def remove_weights(model: Path) -> str:
    (model / WEIGHTS).unlink()
    return "it has no weights"


def cut_weights(model: Path) -> str:
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:1000])
    return f"{WEIGHTS} is damaged"


def point_to_weights(model: Path) -> str:
    (model / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    return f"{WEIGHTS} is a pointer of Git LFS (git lfs pull"


def unknown_architecture(model: Path) -> str:
    changed(model / "config.json", model_type="of-tomorrow")
    return "its config.json does not load"


def damage_tokenizer(model: Path) -> str:
    (model / "tokenizer.json").write_text("{")
    return "its tokenizer does not load"


@pytest.mark.parametrize(
    "break_it",
    [
        unpack_shards,
        damage_index,
        remove_weights,
        cut_weights,
        point_to_weights,
        unknown_architecture,
        damage_tokenizer,
    ],
)
def test_a_model_that_would_not_load_is_named(break_it: Any, tmp_path: Path) -> None:
    base = copied(BASE, tmp_path)
    wrong = break_it(base)
    _, (problem, *others) = checked(copied_artifact(tmp_path, model=str(base)))
    assert problem.startswith(f"model: '{base}': ")
    assert wrong in problem
    assert all(other.startswith("artifact model: ") for other in others)


def test_a_verifier_of_another_vocabulary_does_not_fit(tmp_path: Path) -> None:
    _, (fit, table) = checked(copied_artifact(tmp_path, model=str(OTHER)))
    assert fit.startswith(f"verifier: '{PRM}': its vocabulary is not the language model's")
    assert table.startswith("artifact model: it is ")


def test_a_reviser_of_another_vocabulary_does_not_fit(tmp_path: Path) -> None:
    reviser = copied(REVISER, tmp_path)
    own_tokenizer().save_pretrained(reviser)
    _, (fit, table) = checked(copied_artifact(tmp_path, reviser=str(reviser)))
    assert fit.startswith(f"reviser: '{reviser}': its vocabulary is not the language model's")
    assert table.startswith("artifact reviser: it is ")


def test_a_verifier_whose_context_is_shorter_than_solutions_does_not_fit(tmp_path: Path) -> None:
    prm = copied(PRM, tmp_path)
    changed(prm / "config.json", max_position_embeddings=100)
    _, (fit, table) = checked(copied_artifact(tmp_path, verifier=str(prm)))
    assert fit.startswith("max_tokens: 160: the context of the verifier prm is 100 tokens")
    assert table.startswith("artifact verifier: it is ")


def test_a_grader_that_is_not_there_is_named(tmp_path: Path) -> None:
    _, (problem,) = checked(copied_artifact(tmp_path, answers="python:grader.py"))
    assert "grader.py" in problem


def test_models_larger_than_the_memory_are_wrong() -> None:
    model = ModelFound(name="m", folder=Path("m"), parameters=8 * GIB)
    found = ArtifactFound(folder=Path(), loads=True, models={"model": model, "reviser": model})
    machine, gpu = Memory(free=None, total=31 * GIB), Memory(free=None, total=8 * GIB)
    # One folder is loaded once: 4 bytes a parameter on the CPU, 2 on a GPU.
    told = memory_problem(found, machine, [])
    assert told is not None
    assert told.startswith("memory: the models' weights take 32 GiB, and the machine has 31 GiB")
    assert memory_problem(found, Memory(free=None, total=32 * GIB), []) is None
    assert memory_problem(found, None, []) is None
    assert memory_problem(found, machine, [gpu, gpu]) is None
    told = memory_problem(found, machine, [gpu])
    assert told is not None
    assert "take 16 GiB, and the GPUs have 8 GiB" in told
