"""What ``ttc train`` prints, and which folders it refuses."""

import json
from math import nan
from pathlib import Path

import pytest

from benchmarks.testbed.paths import BASE
from calibration.cli import train
from tests.support.cli import TASK, invoke

ONTO = ["--model", BASE, *TASK]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"{n}+1", "answer": n + 1}) for n in range(20)))
    return path


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (0.25, 0.5, "a revision turns 25% of correct attempts wrong and a revision turns 50% of"),
        (nan, 0.0, "no attempt that was revised was correct and a revision turns 0% of wrong"),
        (1.0, nan, "turns 100% of correct attempts wrong and no attempt that was revised was"),
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
