"""What a user meets in the first hour is told in one clear line, and never by a traceback."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.curves import AccuracyCurves
from allocator.errors import InputError
from allocator.table import LookupTable
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM, TEST_PROMPTS
from calibration import calibrate as calibration
from calibration import from_logs
from calibration.cli import bench_prompts
from calibration.from_logs import calibrate_from_logs
from calibration.report.summary import Summary
from calibration.training import recipes
from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor
from predictors.prompt import PromptProbe
from runtime.artifact import SAMPLES, Artifact, load_settings
from runtime.dropin.loading import find_artifact
from tests.support.cli import MODELS, TASK, copied_artifact, invoke, refused, solve
from tests.support.logs import made_log, rows_of, write

FULL = Path("/dev/full")


def one_line(message: str) -> str:
    """The text of an error that is one line."""
    (line,) = [line for line in message.splitlines() if line.startswith("error:")]
    assert "Traceback" not in message
    return line


@pytest.fixture(scope="module")
def of_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact made from logs."""
    out = tmp_path_factory.mktemp("logs") / "artifact"
    calibrate_from_logs(made_log(30, 8), out, budgets=[1, 2], pilots=[1], n_bins=2)
    return out


@pytest.mark.parametrize("kind", ["trees", "probe"])
def test_predictors_are_written_by_writers_that_tell_a_full_disk(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    features, target = rng.random((40, len(FEATURE_NAMES))), rng.random(40)
    predictor = DifficultyPredictor() if kind == "trees" else PromptProbe()
    predictor.fit(features, target)
    path = tmp_path / "difficulty"
    predictor.save(path)
    whole = path.read_bytes()
    (tmp_path / "difficulty.partial").symlink_to(FULL)
    with pytest.raises(OSError, match="No space left on device") as caught:
        predictor.save(path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == whole


@pytest.mark.slow
def test_a_full_disk_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = DifficultyPredictor.save

    def full(predictor: DifficultyPredictor, path: Path) -> None:
        path.with_name(f"{path.name}.partial").symlink_to(FULL)
        save(predictor, path)

    monkeypatch.setattr(DifficultyPredictor, "save", full)
    path = write(tmp_path / "log.jsonl", rows_of(30, 8))
    message = refused("calibrate", "--from-logs", path, "--out", tmp_path / "out")
    assert "cannot be written (No space left on device); the log is untouched" in one_line(message)
    assert [found.name for found in tmp_path.iterdir()] == ["log.jsonl"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "[]", '{"budget": 1}', b"\xff\xfe{}"],
    ids=["empty", "cut", "deep", "digits", "array", "other", "bytes"],
)
@pytest.mark.parametrize("name", ["settings.json", "table.json", "curves.json", "summary.json"])
def test_a_damaged_file_of_an_artifact(tmp_path: Path, name: str, content: str | bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    load: Any = {
        "settings.json": lambda: load_settings(tmp_path),
        "table.json": lambda: LookupTable.load(path),
        "curves.json": lambda: AccuracyCurves.load(path),
        "summary.json": lambda: Summary.load(tmp_path),
    }[name]
    with pytest.raises(InputError, match="calibrate again") as caught:
        load()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def never(*_: object, **__: object) -> Any:
    pytest.fail("work was begun before the refusal")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["calibrate", "PROMPTS", *MODELS, *TASK],
        ["calibrate", "--from-logs", "LOG"],
        ["bench", TEST_PROMPTS, "--artifact", ARTIFACT, "--prompts", 4],
        ["train", "prm", "PROMPTS", "--model", BASE, *TASK],
        ["demo"],
        ["solve", "--artifact", ARTIFACT, "--budget", 4, "1+1"],
    ],
    ids=["calibrate", "logs", "bench", "train", "demo", "solve"],
)
@pytest.mark.parametrize("parent", ["file", "/proc"])
def test_an_out_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, command: list[object], parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "open_collector", never)
    monkeypatch.setattr(calibration, "fit", never)
    monkeypatch.setattr(from_logs, "fit", never)
    monkeypatch.setattr(bench_prompts, "sample", never)
    monkeypatch.setattr(recipes, "open_engine", never)
    monkeypatch.setattr("benchmarks.demo.run_demo", never)
    monkeypatch.setattr(Artifact, "load", Artifact.load if command[0] == "bench" else never)
    (tmp_path / "file").write_text("")
    prompts = [{"prompt": f"{n}+1", "answer": n + 1} for n in range(20)]
    files = {
        "PROMPTS": write(tmp_path / "prompts.jsonl", prompts),
        "LOG": write(tmp_path / "log.jsonl", rows_of(30, 8)),
    }
    given = [files.get(part, part) if isinstance(part, str) else part for part in command]
    out = (tmp_path if parent == "file" else Path("/")) / parent / "out"
    message = one_line(refused(*given, "--out", out))
    assert "out: " in message
    assert "cannot be written" in message or "a folder that exists" in message


@pytest.mark.slow
def test_an_artifact_made_from_logs_runs_no_model(of_logs: Path) -> None:
    expected = "it was made from logs, and names no model to run"
    for command in (
        ["solve", "--artifact", of_logs, "--budget", 4, "1+1"],
        ["explain", "--artifact", of_logs, "--budget", 4, "1+1"],
        ["bench", TEST_PROMPTS, "--artifact", of_logs],
        ["serve", "--artifact", of_logs],
    ):
        message = " ".join(refused(*command).split())
        assert expected in message, command[0]
        assert "ttc attach" in message
    for how in ((of_logs, None), (BASE, of_logs)):
        with pytest.raises(InputError, match=expected):
            find_artifact(*how)
    assert invoke("inspect", of_logs)[0] == 0


def test_a_copied_artifact_says_where_it_looked_for_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(ARTIFACT, tmp_path / "copy", ignore=shutil.ignore_patterns(SAMPLES))
    name = load_settings(ARTIFACT).model
    assert not Path(name).is_absolute()
    with pytest.raises(InputError) as caught:
        Artifact.load(tmp_path / "copy")
    for place in (tmp_path / "copy" / name, Path(name)):
        assert str(place.resolve()) in str(caught.value)
    assert "give its path" in str(caught.value)
    # One that is there, but is no model, is told as before.
    (tmp_path / "copy" / "empty").mkdir()
    settings = copied_artifact(tmp_path, model="empty", verifier=str(PRM))
    (settings / "empty").mkdir()
    with pytest.raises(InputError, match=r"the folder has no config\.json"):
        Artifact.load(settings)


TOO_LONG = "1" + "+1" * 200


def test_a_prompt_of_a_file_that_is_too_long_leaves_the_others_answered(tmp_path: Path) -> None:
    texts = ["1+1", TOO_LONG, "2+2"]
    path = write(tmp_path / "prompts.jsonl", [{"prompt": text} for text in texts])
    out = tmp_path / "answers.jsonl"
    status, _, message = invoke(*solve("--budget", 2, "--file", path, "--out", out, "5-3"))
    assert status == 1
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["5-3", *texts]
    assert ["error" in line for line in lines] == [False, False, True, False]
    assert lines[2]["error"].startswith(f"{path}, line 2: ")
    assert "leave no room in the context of 256; shorten it" in lines[2]["error"]
    said = one_line(" ".join(message[message.index("error:") :].split()))
    assert "1 of 4 prompts failed: " in said


@pytest.mark.parametrize(
    "command",
    [
        ["calibrate", "PROMPTS", *MODELS, *TASK, "--out", "OUT"],
        ["bench", "PROMPTS", "--artifact", ARTIFACT, "--engine", "transformers", "--out", "OUT"],
    ],
    ids=["calibrate", "bench"],
)
def test_a_graded_prompt_that_is_too_long_is_refused_by_its_row(
    tmp_path: Path, command: list[object]
) -> None:
    texts = [f"{n}+1" for n in range(20)] + ["1" + "+1" * 100, TOO_LONG]
    path = write(tmp_path / "p.jsonl", [{"prompt": text, "answer": 1} for text in texts])
    files = {"PROMPTS": path, "OUT": tmp_path / "out"}
    given = [files.get(part, part) if isinstance(part, str) else part for part in command]
    message = " ".join(refused(*given).split())
    assert f"{path}, line 22: " in message
    assert "no room in the context of 256; shorten it" in message
