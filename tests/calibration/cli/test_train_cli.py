"""What ``ttc train`` prints, and which folders it refuses."""

import json
import shutil
from math import nan
from pathlib import Path

import pytest

from benchmarks.testbed.paths import BASE, PRM
from calibration.cli import train
from calibration.training import recipes
from tests.support.cli import TASK, invoke, refused

KINDS = ["prm", "orm", "reviser", "reviser-orm"]
ONTO = ["--model", BASE, *TASK]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"{n}+1", "answer": n + 1}) for n in range(20)))
    return path


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (
            0.25,
            0.5,
            "a revision turns 25% of correct attempts wrong, and 50% of wrong ones correct.",
        ),
        (nan, 0.0, "correct before its revision, and a revision turns 0% of wrong ones correct."),
        (1.0, nan, "turns 100% of correct attempts wrong, and no attempt was wrong before its"),
    ],
)
def test_what_revisions_do_is_said_in_words(
    prompts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: float,
    right: float,
    said: str,
) -> None:
    async def trained(*_: object) -> tuple[float, float]:
        return wrong, right

    monkeypatch.setattr(train, "reviser_recipe", trained)
    status, _, message = invoke("train", "reviser", prompts, "--out", tmp_path / "out", *ONTO)
    assert status == 0
    assert said in " ".join(message.split())
    assert "nan" not in message


def never(*_: object, **__: object) -> None:
    pytest.fail("work was begun before the refusal")


@pytest.mark.parametrize(
    ("kind", "which"),
    [
        *((kind, which) for kind in KINDS for which in ("model", "backbone")),
        ("reviser-orm", "reviser"),
    ],
)
def test_no_model_that_is_read_is_overwritten(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, which: str
) -> None:
    monkeypatch.setattr(recipes, "open_engine", never)
    own = tmp_path / "own"
    shutil.copytree(BASE, own)
    (tmp_path / "link").symlink_to(own)
    models = {"model": BASE, "reviser": BASE} if kind == "reviser-orm" else {"model": BASE}
    given = [part for name, at in (models | {which: own}).items() for part in (f"--{name}", at)]
    # What an earlier training of this folder would have left: it may be overwritten as such.
    for name in ("own", "link"):
        (tmp_path / f"{name}.samples.jsonl").write_text("")
        out = tmp_path / "elsewhere" / ".." / name
        message = refused("train", kind, prompts, "--out", out, *given, *TASK)
        assert f"it is the folder of the --{which}, which would be" in " ".join(message.split())


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_no_training_has_left_is_not_overwritten(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(recipes, "open_engine", never)
    out = tmp_path / "theirs"
    shutil.copytree(PRM, out)
    reviser = ["--reviser", BASE] if kind == "reviser-orm" else []
    command = ["train", kind, prompts, *reviser, *ONTO]
    assert "it holds a model that ttc train has not left" in refused(*command, "--out", out)


def test_a_model_that_a_training_has_left_may_be_trained_again(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ours"
    shutil.copytree(PRM, out)
    (tmp_path / "ours.chains.jsonl").write_text("")

    async def trained(*_: object) -> None:
        pass

    monkeypatch.setattr(train, "orm_recipe", trained)
    status, _, message = invoke("train", "orm", prompts, "--out", out, *ONTO)
    assert status == 0, message


def test_a_folder_is_found_by_any_name_and_must_have_one(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "open_engine", never)
    command = ["train", "prm", prompts, *ONTO]
    assert "out: '/': it has no name; give a folder" in refused(*command, "--out", "/")
    shutil.copytree(PRM, tmp_path / "here" / "prm")
    monkeypatch.chdir(tmp_path / "here" / "prm")
    assert "it holds a model that ttc train" in refused(*command, "--out", ".")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here.samples.jsonl").write_text('{"begun": "with something else"}\n')
    (tmp_path / "here.samples.jsonl").open("a").write('{"prompt": 0, "result": []}\n')
    for out in (".", "prm/.."):
        message = refused(*command, "--out", out)
        assert f"journal: '{tmp_path / 'here.samples.jsonl'}': it was begun" in message
