"""Columns of scores: what is a verifier's, and what is the grade itself."""

from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from calibration.data.sample_log import read_log
from tests.support.logs import write


def rollouts(levels: tuple[float, float], errors: int = 0, steps: bool = False) -> list[Any]:
    """Twenty questions of ten samples, whose scores have the first level where they are correct.

    Args:
        levels: the score of correct samples and of wrong ones.
        errors: of each ten samples, those whose score is the other level.
        steps: whether scores are lists.
    """
    rows = []
    for q in range(20):
        for n in range(10):
            right = n % 4 == 0
            score = levels[right == (n < errors)]
            cell = [score] if steps else score
            rows.append(
                {"question": f"q{q}", "answer": "5" if right else f"{n}w", "gold": "5"}
                | {"reward": cell}
            )
    return rows


REWARD = {"score": "reward"}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("levels", [(1.0, 0.0), (1.0, -1.0)])
def test_a_score_that_is_the_grade_is_refused(
    tmp_path: Path, suffix: str, levels: tuple[float, float], steps: bool
) -> None:
    path, rows = tmp_path / f"log.{suffix}", rollouts(levels, steps=steps)
    # Samples without an answer are wrong, whatever their score.
    rows[0] |= {"answer": None}
    rows[4] |= {"answer": None}
    with pytest.raises(InputError) as refusal:
        read_log(write(path, rows), REWARD)
    message = str(refusal.value)
    assert message.startswith("columns: 'score=reward': ")
    assert "it says what the grade says" in message
    assert "which nobody knows when serving" in message
    assert ("correct=reward" in message) == (levels == (1.0, 0.0))
    assert "leave it out" in message
    # A grader that rarely differs from the one of the log is one too.
    rows[1]["reward"] = rows[8]["reward"]
    with pytest.raises(InputError, match="it says what the grade says"):
        read_log(write(path, rows), REWARD)


def test_a_grade_beside_a_verifiers_score_is_refused(tmp_path: Path) -> None:
    rows = [row | {"score": (n % 7) / 10} for n, row in enumerate(rollouts((1.0, 0.0)))]
    path = write(tmp_path / "log.jsonl", rows)
    assert set(read_log(path).scores.values) == {"score"}
    with pytest.raises(InputError, match="columns: 'score=reward': "):
        read_log(path, {"score": ["score", "reward"]})


def test_a_verifier_that_says_yes_or_no_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    scores = read_log(write(path, rollouts((1.0, 0.0), errors=1)), REWARD).scores
    assert set(scores.values["reward"].ravel().tolist()) == {0.0, 1.0}
    # Where few samples are correct, one that says no to nearly all of them agrees with most grades.
    rare = rollouts((1.0, 0.0))
    for n, row in enumerate(rare):
        right, doubted = n < 3, n in (1, 2, 7)
        row |= {"answer": "5" if right else f"{n}w", "reward": float(right != doubted)}
    assert read_log(write(path, rare), REWARD).correct.sum() == 3


def test_a_score_of_three_levels_is_read(tmp_path: Path) -> None:
    rows = rollouts((1.0, 0.0))
    rows[1]["reward"] = 0.5
    assert "reward" in read_log(write(tmp_path / "log.jsonl", rows), REWARD).scores.values
