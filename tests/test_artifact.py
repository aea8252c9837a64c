"""An artifact made for another model: refused, or taken on the user's word."""

import shutil
from pathlib import Path

import pytest

from allocator.errors import InputError
from allocator.table import LookupTable
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM
from runtime.artifact import SETTINGS, TABLE, Artifact, load_settings
from tests.test_cli import invoke


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The testbed's artifact, its table calibrated with another verifier."""
    folder = tmp_path / "artifact"
    shutil.copytree(ARTIFACT, folder, ignore=shutil.ignore_patterns("*.parquet"))
    settings = load_settings(ARTIFACT)
    here = settings.model_copy(update={"model": str(BASE), "verifier": str(PRM)})
    (folder / SETTINGS).write_text(here.model_dump_json())
    table = LookupTable.load(folder / TABLE)
    other = table.fingerprint.model_copy(update={"verifier": "another"})
    table.model_copy(update={"fingerprint": other}).save(folder / TABLE)
    return folder


def test_an_artifact_for_another_verifier_is_refused(foreign: Path) -> None:
    with pytest.raises(InputError, match=r"calibrated with 'another'.*--force"):
        Artifact.load(foreign)


def test_force_takes_it_and_says_how_it_differs(foreign: Path) -> None:
    own = LookupTable.load(ARTIFACT / TABLE).fingerprint.verifier
    artifact = Artifact.load(foreign, force=True)
    assert artifact.foreign == (f"verifier is {own!r}, the table was calibrated with 'another'",)
    assert artifact.policy.row(8).budget == 8


def test_force_has_nothing_to_say_of_an_artifact_that_fits() -> None:
    assert Artifact.load(ARTIFACT, force=True).foreign == ()


@pytest.mark.parametrize("command", ["solve", "explain"])
def test_the_commands_warn_when_forced(foreign: Path, command: str) -> None:
    # A budget that is refused as soon as the artifact is loaded: no model is.
    line = [command, "--artifact", foreign, "--budget", "-1", "1+1"]
    status, _, message = invoke(*line)
    assert status == 2
    assert "error: artifact verifier" in message
    status, _, message = invoke(*line, "--force")
    assert status == 2
    assert "warning: verifier is" in message
    assert "the table was calibrated with 'another'" in message
    assert "give 1 or more" in message
