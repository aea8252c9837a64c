"""Recorded traffic as a log: what is correct by feedback, and what is estimated without."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from allocator.errors import InputError
from benchmarks.testbed.paths import BASE, SETTINGS
from calibration.data.sample_log import Log, read_log
from calibration.data.traffic import answer_probabilities
from calibration.report.summary import Summary
from runtime.artifact import Artifact
from runtime.traffic import FILE, RecordedPrompt, RecordedVerdict, question_id
from tests.support.cli import invoke

NAMES = ("1", "1", "2", None)  # a sample per name, best first


def prompt(
    number: int,
    answers: Sequence[str | None] = NAMES,
    probability: Sequence[float] = (0.9, 0.8, 0.1, 0.05),
    text: str | None = None,
) -> RecordedPrompt:
    count = len(answers)
    return RecordedPrompt(
        request=f"r{number}",
        prompt=0,
        choices=1,
        artifact="a",
        question=question_id(str(number)),
        text=text,
        answer=tuple(answers),
        probability=tuple(probability),
        score=tuple((0.5, value) for value in probability),
        logprob=tuple(-1.0 - rank for rank in range(count)),
        tokens=(20,) * count,
        finished=(True,) * count,
    )


def said(number: int, rank: int, correct: bool) -> RecordedVerdict:
    return RecordedVerdict(request=f"r{number}", prompt=0, rank=rank, correct=correct)


def record(folder: Path, *lines: RecordedPrompt | RecordedVerdict) -> Path:
    """The lines as two files of a server."""
    SETTINGS.with_absolute_paths(Path()).save(folder / "settings.json")
    half = len(lines) // 2
    for number, part in enumerate((lines[:half], lines[half:]), start=1):
        text = "".join(line.model_dump_json() + "\n" for line in part)
        (folder / FILE.format(number)).write_text(text)
    return folder


def right_share(log: Log) -> float:
    return float(log.correct.any(axis=1).mean())


def test_feedback_says_which_samples_are_correct(tmp_path: Path) -> None:
    lines = [prompt(0), prompt(1), prompt(2), said(0, 0, True), said(1, 2, True)]
    # A verdict on what is gone is not read, nor one on a sample without an answer.
    log = read_log(record(tmp_path, *lines, said(2, 0, True), said(7, 0, True), said(2, 3, False)))
    assert log.correct.sum(axis=1).tolist() == [2, 1, 2]
    assert sorted(log.scores.values) == ["score.last", "score.mean", "score.min", "score.product"]
    assert log.questions == tuple(question_id(str(number)) for number in range(3))
    (note,) = log.notes
    assert "3 answers that feedback is on" in note


def test_an_answer_called_wrong_leaves_the_others_open(tmp_path: Path) -> None:
    prompts = [prompt(number) for number in range(400)]
    verdicts = [said(number, 0, False) for number in range(400)]
    log = read_log(record(tmp_path, *prompts, *verdicts))
    # Odds of 1 to 9 for the answer that is left.
    assert right_share(log) == pytest.approx(0.1, abs=0.05)
    assert log.correct.sum(axis=1).max() == 1
    assert "calls an answer of 400 others wrong" in log.notes[0]
    assert "expects 89% to be right, and 0% are" in log.notes[1]


def test_where_every_answer_is_called_wrong_nothing_is_left_open(tmp_path: Path) -> None:
    verdicts = [said(0, 0, False), said(0, 2, False)]
    log = read_log(record(tmp_path, prompt(0), prompt(1), *verdicts, said(1, 0, True)))
    assert log.correct.sum(axis=1).tolist() == [0, 2]
    assert len(log.notes) == 1  # no estimate


def test_without_feedback_the_score_says_how_probable_an_answer_is(tmp_path: Path) -> None:
    found = answer_probabilities(NAMES, (0.9, 0.8, 0.1, 0.05))
    odds = np.array([9, 1 / 9])
    assert [*found.values()] == pytest.approx((odds / (1 + odds.sum())).tolist())
    log = read_log(record(tmp_path, *(prompt(number) for number in range(500))))
    first = (log.correct.sum(axis=1) == 2).mean()
    second = (log.correct.sum(axis=1) == 1).mean()
    assert first == pytest.approx(found["1"], abs=0.06)
    assert second == pytest.approx(found["2"], abs=0.04)
    assert "known of 0 of 500 questions" in log.notes[0]
    again = read_log(tmp_path)
    assert (again.digest, again.answer.tolist()) == (log.digest, log.answer.tolist())


def test_the_last_record_of_a_question_counts(tmp_path: Path) -> None:
    later = prompt(0, ("5", "6", "7", "8")).model_copy(update={"request": "later"})
    verdict = RecordedVerdict(request="later", prompt=0, rank=3, correct=True)
    log = read_log(record(tmp_path, prompt(0), later, said(0, 0, True), verdict))
    assert log.answer.shape == (1, 4)
    assert log.correct.sum() == 1


def test_a_recorded_text_names_its_question_too(tmp_path: Path) -> None:
    log = read_log(record(tmp_path, prompt(0, text="1+1"), prompt(1, text="1+2")))
    assert log.names["prompt"] == ("1+1", "1+2")


def test_traffic_that_cannot_be_calibrated_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "votes").mkdir()
    counted = [prompt(number, probability=(1.0,) * 4) for number in range(3)]
    folder = record(tmp_path / "votes", *counted, said(0, 0, True))
    with pytest.raises(InputError, match="answer of 2 of 3 questions is right"):
        read_log(folder)
    (tmp_path / "none").mkdir()
    folder = record(tmp_path / "none", said(0, 0, True), said(0, 1, True))
    with pytest.raises(InputError, match="no prompt has been recorded"):
        read_log(folder)
    with pytest.raises(InputError, match="no gold column"):
        read_log(record(tmp_path, prompt(0), prompt(1)), answers="math")


@pytest.mark.slow
def test_the_command_makes_an_artifact_that_can_be_served_and_says_what_was_estimated(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    lines: list[RecordedPrompt | RecordedVerdict] = []
    for number in range(60):
        chance = rng.uniform(0.05, 0.95)
        right = rng.random(8) < chance
        answers = ["0" if r else str(rng.integers(1, 4)) for r in right]
        scores = np.clip(0.2 + 0.6 * right + rng.normal(0, 0.1, 8), 0.02, 0.98)
        lines.append(prompt(number, answers, scores.tolist()))
        if number % 2:
            lines.append(said(number, 0, answers[0] == "0"))
    (tmp_path / "traffic").mkdir()
    folder, out = record(tmp_path / "traffic", *lines), tmp_path / "made"
    options = ["--from-logs", folder, "--out", out, "--budgets", "1,2,4", "--pilots", "1"]
    status, _, shown = invoke("calibrate", *options, "--bins", "2")
    assert status == 0, shown
    assert "estimated by the verifier's calibrated score" in " ".join(shown.split())
    assert any("estimated by" in warning for warning in Summary.load(out).warnings)
    assert "estimated by the verifier" in (out / "report.html").read_text()
    artifact = Artifact.load(out)
    assert artifact.settings.folder(out, "model").resolve() == BASE.resolve()
    assert any(artifact.scoring.scores.values())
    assert json.loads((folder / "settings.json").read_text())["model"] == str(BASE.resolve())
