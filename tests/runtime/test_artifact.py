"""An artifact read back; one made for another model: refused, or taken on the user's word."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from allocator.errors import InputError
from allocator.latency import Latency
from allocator.plan import Plan, plan_grid
from allocator.table import LookupTable
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM
from benchmarks.testbed.paths import SETTINGS as TESTBED
from calibration.fitting.fit import fit
from calibration.new_artifact import new_artifact, parts_of
from calibration.replay.replay import Replay
from predictors.confidence import ConfidenceSettings
from runtime.artifact import LATENCY, SETTINGS, TABLE, Artifact, load_settings
from runtime.settings import Settings
from tests.support.cli import invoke
from tests.support.logs import as_records, made_log
from tests.support.summaries import rich_summary


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An artifact of the testbed's models, with no pilots and two, fitted on made samples."""
    grid = partial(plan_grid, strategies=("best_of_n",))
    replay = Replay(as_records(made_log(40, 16)), 8)
    fitted = fit(replay, grid, [1, 4, 8], [0, 2], 2, TESTBED.fingerprint(Path()))
    latency = Latency.of({Plan(strategy="best_of_n", n=1): 0.1})
    parts = parts_of(fitted, TESTBED.with_absolute_paths(Path()), latency)
    with new_artifact(tmp_path / "made", parts, rich_summary()):
        pass
    return tmp_path / "made"


@pytest.mark.slow
def test_all_that_was_calibrated_is_read_back(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {
        *("settings.json", "summary.json", "table.json", "oracle_table.json"),
        *("difficulty-0.json", "difficulty-0.safetensors"),
        *("difficulty-2.json", "difficulty-2.txt"),
        *("curves.json", "prices.json", "gain_model.json", "latency.json", "drift_baseline.json"),
        "README.md",
    }
    artifact = Artifact.load(made)
    assert list(artifact.difficulty) == [0, 2]
    assert [curves.pilots for curves in artifact.curves.curves] == [0, 2]
    assert artifact.prices.schedule.stages[-1].samples == 8
    assert len(artifact.gain_model.weights) > 1
    assert artifact.latency.seconds(Plan(strategy="best_of_n", n=1)) == 0.1
    assert artifact.drift_baseline.pilots == 2
    assert artifact.foreign == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["curves.json", "prices.json", "gain_model.json", "drift_baseline.json", "difficulty-2.txt"],
)
def test_an_artifact_that_lacks_a_part_is_refused(made: Path, name: str) -> None:
    (made / name).unlink()
    with pytest.raises(InputError, match=f"{name}.*(calibrate again|ttc calibrate)"):
        Artifact.load(made)


@pytest.mark.slow
def test_an_artifact_need_not_have_been_timed(made: Path) -> None:
    (made / LATENCY).unlink()
    assert Artifact.load(made).latency.timed == ()


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
    # An engine that is refused once the artifact is read: no model is loaded.
    nowhere = "http://127.0.0.1:9"
    line = [command, "--artifact", foreign, "--budget", "8", "--engine", nowhere, "1+1"]
    status, _, message = invoke(*line)
    assert status == 2
    assert "error: artifact verifier" in message
    status, _, message = invoke(*line, "--force")
    assert status == 2
    assert "warning: verifier is" in message
    assert "the table was calibrated with 'another'" in message
    assert "no OpenAI-compatible server answers there" in message


def test_confidence_without_weight_is_not_in_the_fingerprint() -> None:
    # Tables from before it was read, such as the testbed's, do not name it.
    assert "confidence" not in TESTBED.fingerprint(Path()).scoring
    weighed = TESTBED.scoring.model_copy(update={"confidence": 0.25})
    settings = TESTBED.model_copy(update={"scoring": weighed})
    assert settings.fingerprint(Path()).scoring["confidence"] == 0.25


def test_settings_keep_how_confidence_is_read(tmp_path: Path) -> None:
    read = ConfidenceSettings(window=64, threshold=7.5, saved=0.125)
    TESTBED.model_copy(update={"confidence": read}).save(tmp_path / SETTINGS)
    assert Settings.load(tmp_path / SETTINGS).confidence == read
    assert load_settings(ARTIFACT).confidence is None
