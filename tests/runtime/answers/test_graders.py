"""Answers read and compared by a user's Python file, and what an artifact keeps of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError, ModelError
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM
from runtime.answers import answers_for, graders
from runtime.answers.graders import PythonAnswers
from runtime.artifact import SETTINGS, TABLE, Artifact, load_settings
from runtime.settings import Settings
from tests.support.equivalent import equivalent

GRADER = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Word:
    text: str

def extract(text: str) -> str | None:
    return Word(text.split()[-1]).text if text.strip() else None

def same(answer: str, other: str) -> bool:
    return answer.lower() == other.lower()
"""


def written(folder: Path, text: str) -> str:
    (folder / "grader.py").write_text(text)
    return f"python:{folder / 'grader.py'}"


@pytest.mark.slow
def test_a_python_file_reads_and_compares_answers(tmp_path: Path) -> None:
    answers = answers_for(written(tmp_path, GRADER))
    assert answers.extract("It is Paris") == "Paris"
    assert answers.extract(" ") is None
    assert equivalent(answers, "Paris", "PARIS")
    assert not equivalent(answers, "Paris", "Rome")
    assert [path.name for path in tmp_path.iterdir()] == ["grader.py"]
    assert answers_for("python:grader.py", tmp_path).extract("Rome") == "Rome"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("def extract(text): return text", "define a function 'same'"),
        ("same = extract = 5", "define a function 'extract'"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("def extract(text)", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
)
def test_an_unusable_file(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint) as caught:
        answers_for(written(tmp_path, text))
    assert "grader.py" in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    for name in ("python:nowhere.py", f"python:{tmp_path}", "python:"):
        with pytest.raises(InputError, match="cannot be read"):
            answers_for(name)


@pytest.mark.slow
def test_what_goes_wrong_while_grading_is_named(tmp_path: Path) -> None:
    name = written(
        tmp_path,
        "def extract(text): return 5 if text == 'five' else text[9]\ndef same(a, b): a == b",
    )
    answers = answers_for(name)
    with pytest.raises(ModelError, match=r"grader .*grader.py: extract of 'short' raised IndexErr"):
        answers.extract("short")
    with pytest.raises(ModelError, match="extract of 'five' returned 5; return a str or None"):
        answers.extract("five")
    with pytest.raises(ModelError, match=r"same of 'x{57}\.\.\.' returned None; return True"):
        equivalent(answers, "x" * 90, "y")


@pytest.mark.slow
def test_a_comparison_that_hangs_tells_answers_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
import time
def extract(text):
    while text == "stuck":
        pass
    return text
def same(a, b):
    while "x" in a + b:
        pass
    return a.lower() == b.lower()
"""
    answers: Any = answers_for(written(tmp_path, text), seconds=0.5)
    assert answers.extract("Paris") == "Paris"
    assert answers.extract("stuck") is None
    found = ["Paris", "x", "PARIS", "Rome"]
    assert answers.canonicalize(found) == ["Paris", "x", "Paris", "Rome"]
    assert "x" in answers.undecided(found)

    def never(*arguments: object) -> None:
        pytest.fail(f"it is not remembered: {arguments}")

    monkeypatch.setattr(answers._pool, "call", never)
    assert answers.canonicalize(found) == ["Paris", "x", "Paris", "Rome"]


@pytest.mark.slow
def test_comparisons_that_are_kept_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graders, "REMEMBERED", 3)
    written(tmp_path, GRADER)
    answers = PythonAnswers(tmp_path / "grader.py")
    for _ in range(2):
        assert answers.canonicalize(["a", "b", "A", "c", "C"]) == ["a", "b", "a", "c", "c"]
        assert len(answers._equal) == 3


@pytest.mark.slow
def test_classes_do_not_depend_on_the_order(tmp_path: Path) -> None:
    # Neither symmetric nor transitive: 1 is 2, and 2 is 3.
    text = "def extract(text): return text\ndef same(a, b): return int(b) - int(a) == 1"
    answers = answers_for(written(tmp_path, text))
    for found in (["1", "2", "3", "5"], ["3", "5", "1", "2"], ["3", "1", "5", "2"]):
        named = answers.canonicalize(found)
        classes = {frozenset(a for a, n in zip(found, named, strict=True) if n == m) for m in named}
        assert classes == {frozenset("123"), frozenset("5")}


def test_a_fingerprint_changes_with_the_files_content_alone(tmp_path: Path) -> None:
    def fingerprint(answers: str, base: Path = ARTIFACT) -> str:
        settings = load_settings(ARTIFACT).model_copy(
            update={"answers": answers, "model": str(BASE), "verifier": str(PRM)}
        )
        return settings.fingerprint(base).answers

    name = written(tmp_path, GRADER)
    first = fingerprint(name)
    assert first.startswith("python:")
    (tmp_path / "other").mkdir()
    assert fingerprint(written(tmp_path / "other", GRADER)) == first
    assert fingerprint("python:other/grader.py", tmp_path) == first
    assert fingerprint(written(tmp_path, GRADER + "\n")) != first
    assert fingerprint("math") == "math"


@pytest.mark.slow
def test_an_artifact_finds_its_grader_and_refuses_a_changed_one(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(ARTIFACT, folder)
    absolute = {"model": str(BASE), "verifier": str(PRM), "answers": written(tmp_path, GRADER)}
    settings = Settings.model_validate(load_settings(ARTIFACT).model_dump() | absolute)
    settings = settings.relative_to(folder)
    assert settings.answers == "python:../grader.py"
    (folder / SETTINGS).write_text(settings.model_dump_json())
    with pytest.raises(InputError, match="artifact answers"):
        Artifact.load(folder)

    table = Artifact.load(ARTIFACT).policy.table
    made = table.model_copy(update={"fingerprint": settings.fingerprint(folder)})
    made.save(folder / TABLE)
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(folder, moved / "artifact")
    shutil.move(tmp_path / "grader.py", moved / "grader.py")
    models = settings.model_copy(update={"model": str(BASE), "verifier": str(PRM)})
    (moved / "artifact" / SETTINGS).write_text(models.model_dump_json())
    loaded = Artifact.load(moved / "artifact")
    assert answers_for(loaded.settings.answers, loaded.folder).extract("is Rome") == "Rome"
    written(moved, GRADER + "\n")
    with pytest.raises(InputError, match="run ttc calibrate for this one"):
        Artifact.load(moved / "artifact")
