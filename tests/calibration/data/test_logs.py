"""Calibration from logged samples: reading them, exact estimators, and tables without a model."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.table import LookupTable
from calibration.data.sample_log import read_log
from calibration.from_logs import calibrate_from_logs
from calibration.replay.estimators import majority_accuracy
from calibration.replay.replay import Replay
from calibration.replay.ways import PRICE, TOTAL, WAYS
from calibration.report.summary import Summary
from predictors.features import FEATURE_NAMES
from tests.support.cli import invoke, refused
from tests.support.logs import as_records, made_log, replay_of, rows_of, write
from tests.support.paths import SHARED


def test_majority_in_closed_form_equals_enumeration_of_every_subset() -> None:
    rng = np.random.default_rng(0)
    for _ in range(12):
        answers = rng.integers(-1, 4, size=9).tolist()
        counts = [[answers.count(j) for j in (1, 2, 3)]]
        rest = [[answers.count(0), answers.count(-1)]]
        for n in (1, 2, 3, 5, 9):
            won = []
            for subset in combinations(answers, n):
                votes = {a: subset.count(a) for a in set(subset) - {-1}}
                top = [a for a in votes if votes[a] == max(votes.values())]
                won.append((0 in top) / len(top) if top else 0.0)
            assert majority_accuracy(counts, rest, n)[0] == pytest.approx(np.mean(won))


@pytest.mark.parametrize("n", [0, 4])
def test_majority_over_a_subset_that_cannot_be_is_refused(n: int) -> None:
    with pytest.raises(InputError, match="must be between 1 and the number of samples, 3"):
        majority_accuracy([[1]], [[1, 1]], n)


@pytest.mark.parametrize("selection", ["weighted", "majority", "best"])
@pytest.mark.parametrize("scored", [True, False])
def test_a_log_is_replayed_as_records_are(selection: Any, scored: bool) -> None:
    log = made_log(20, 16, scored=scored)
    logged, replay = replay_of(log), Replay(as_records(log), 16)
    if selection not in logged.selections:
        with pytest.raises(InputError, match="must be best-of-n by a selection"):
            logged.outcome(Plan(strategy="best_of_n", n=4, selection=selection), 2)
        return
    for n in (2, 4, 16):
        plan = Plan(strategy="best_of_n", n=n, selection=selection)
        theirs, ours = replay.outcome(plan, 2), logged.outcome(plan, 2)
        np.testing.assert_array_equal(ours.correct, theirs.correct)
        np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    for n in (2, 5, 16):
        np.testing.assert_allclose(
            logged.without_closed_forms.majority(n).correct, replay.majority(n).correct
        )


def test_features_of_a_log_are_those_of_its_samples() -> None:
    log = made_log(20, 16)
    ours, theirs = replay_of(log).features(4), Replay(as_records(log), 16).features(4)
    known = ~np.isnan(ours[0, 0])
    assert {n for n, k in zip(FEATURE_NAMES, known, strict=True) if k} >= {"agreement", "score_max"}
    np.testing.assert_allclose(ours[..., known], theirs[..., known], atol=1e-12)


def test_exact_outcomes_are_what_rotations_average_to() -> None:
    for selection, scored in (("majority", False), ("best", True)):
        replay = replay_of(made_log(3000, 32, seed=1, scored=scored))
        plan = Plan(strategy="best_of_n", n=4, selection=selection)
        exact, rotated = (replay.outcome(plan, pilots).correct.mean() for pilots in (0, 1))
        assert exact == pytest.approx(rotated, abs=0.004)


@pytest.mark.parametrize("name", ["log.parquet", "log.jsonl"])
def test_columns_of_any_name(tmp_path: Path, name: str) -> None:
    rows = [
        {"id": r["question"], "final": r["answer"], "truth": "0", "reward": r["score"]}
        for r in rows_of(6, 8)
    ]
    path = write(tmp_path / name, rows)
    names = {"question": "id", "answer": "final", "gold": "truth", "score": "reward"}
    log = read_log(path, names)
    assert log.answer.shape == (6, 8)
    assert log.tokens is None
    expected = [sum(r["final"] == "0" for r in rows[i * 8 : i * 8 + 8]) for i in range(6)]
    assert sorted(log.correct.sum(1).tolist()) == sorted(expected)
    with pytest.raises(InputError, match="map it: question=NAME"):
        read_log(path)


def test_correct_answers_of_several_spellings_vote_together(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "answer": a, "correct": a in ("1/2", "0.5")}
        for a in ("1/2", "0.5", "3", "3", "0.5", "2")
    ]
    log = read_log(write(tmp_path / "log.parquet", rows))
    assert sorted(log.answer[0].tolist()) in ([0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 1, 2])
    assert "correct samples of 1 of 1 questions have several texts" in log.notes[0]


def marked(*rows: tuple[str | None, bool]) -> list[dict[str, Any]]:
    """Samples of one question: answers, and whether each is marked correct."""
    return [{"question": "q", "answer": a, "correct": right} for a, right in rows]


def test_a_blank_answer_is_wrong_whatever_the_log_says(tmp_path: Path) -> None:
    rows = marked(("5", True), ("5", True), ("", True), (None, True), ("7", False))
    log = read_log(write(tmp_path / "log.jsonl", rows))
    assert sorted(log.answer[0].tolist()) == [-1, -1, 0, 0, 1]
    assert log.notes == ("2 rows marked correct have no answer: they count as wrong",)


def test_an_answer_that_is_marked_both_ways_counts_as_most_of_its_rows_say(tmp_path: Path) -> None:
    rows = marked(
        *[("5", True), ("5", True), ("5", False)],
        *[("7", False), ("7", True), ("8", True), ("8", False), ("8", False)],
    )
    log = read_log(write(tmp_path / "log.jsonl", rows))
    assert sorted(log.answer[0].tolist()) == [0, 0, 0, 1, 1, 2, 2, 2]
    assert len(log.notes) == 1
    assert log.notes[0].startswith("3 answers to a question are marked correct in some rows")


def test_whole_solutions_in_place_of_answers_are_refused(tmp_path: Path) -> None:
    # Graded by `correct`, the right ones would vote together and the wrong ones each alone.
    rows = [
        {
            "question": f"q{q}",
            "answer": f"Attempt {i}: so it is {v}",
            "correct": v == 5,
            "gold": "5",
        }
        for q in range(3)
        for i, v in enumerate([5, 5, 7, 5, 8, 7])
    ]
    path = write(tmp_path / "log.jsonl", rows)
    with pytest.raises(InputError, match="columns: 'answer': must hold final answers: 9 of 9"):
        read_log(path)
    log = read_log(path, answers=r"pattern:it is (\d+)")
    assert [sorted(answers) for answers in log.answer.tolist()] == [[0, 0, 0, 1, 1, 2]] * 3


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("reward", [-20.0, -2000.0])
def test_of_rewards_far_below_0_votes_are_counted(
    tmp_path: Path, reward: float, steps: bool
) -> None:
    rows = [
        {
            "question": f"q{q}",
            "answer": "right" if i % 3 else f"wrong {i}",
            "gold": "right",
            "score": [reward - i] if steps else reward - i,
        }
        for q in range(4)
        for i in range(9)
    ]
    log = read_log(write(tmp_path / "log.jsonl", rows))
    assert replay_of(log).outcome(Plan(strategy="best_of_n", n=9), 0).correct.all()
    if not steps:  # the fitted score is of the rewards as they are
        assert log.scores.values["score"].min() == reward - 8


def test_scores_of_another_scale_are_refused_and_log_odds_may_be_named(tmp_path: Path) -> None:
    rows = [row | {"score": 100 * row["score"]} for row in rows_of(4, 8)]
    path = write(tmp_path / "log.jsonl", rows)
    with pytest.raises(InputError, match=r"none of its column is below 0.* --logits score"):
        read_log(path)
    assert read_log(path, logits=["score"]).scores.logits == ("score",)


def test_as_many_samples_of_each_as_use_most_of_the_file(tmp_path: Path) -> None:
    rows = [r for r in rows_of(10, 8) if r["question"] != "q3"] + rows_of(10, 8)[24:28]
    log = read_log(write(tmp_path / "log.parquet", rows))
    assert (log.answer.shape, log.left_out) == ((9, 8), 1)


def test_a_few_questions_with_most_rows_do_not_leave_the_others_out(tmp_path: Path) -> None:
    many, few = rows_of(3, 64), rows_of(24, 4)
    rows = [row | {"question": f"many {row['question']}"} for row in many] + few
    log = read_log(write(tmp_path / "log.parquet", rows))
    assert (len(log.answer), log.left_out, int(log.counts.min())) == (27, 0, 4)


@pytest.mark.parametrize(
    ("change", "how", "hint"),
    [
        ({"score": 1.5}, {}, "must lie in \\[0, 1\\]"),
        ({"score": None}, {}, "must be a finite number"),
        ({"gold": None, "model": "b"}, {}, "several models"),
        ({}, {"where": {"model": "c"}}, "no such row|has question"),
        ({}, {"columns": {"answer": "nope"}}, "nope"),
        ({}, {"columns": {"colour": "gold"}}, "name one of"),
    ],
)
def test_an_unusable_log(
    tmp_path: Path, change: dict[str, Any], how: dict[str, Any], hint: str
) -> None:
    rows = [row | {"model": "a"} for row in rows_of(4, 8)]
    rows[5] |= change
    with pytest.raises(InputError, match=hint):
        read_log(write(tmp_path / "log.parquet", rows), **how)


def test_a_log_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_log(tmp_path / "none.parquet")
    (tmp_path / "log.parquet").write_text("hello")
    with pytest.raises(InputError, match=r"from-logs: .*not Parquet"):
        read_log(tmp_path / "log.parquet")
    with pytest.raises(InputError, match="at least 4"):
        read_log(write(tmp_path / "few.jsonl", rows_of(4, 3)))


@pytest.mark.slow
def test_tables_and_summary_from_a_log(tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    made = calibrate_from_logs(made_log(120, 32), out, budgets=[1, 4, 16, 64], pilots=[2], n_bins=3)
    table = LookupTable.load(out / "table.json")
    assert [row.budget for row in table.rows] == [1, 4, 16]
    assert made.difficulty[2].rank_correlation > 0.4
    summary = Summary.load(out)
    assert (summary.prompts, summary.samples) == (120, 32)
    assert any("budgets above 32 are left out" in w for w in summary.warnings)
    curves = {curve.name: curve for curve in summary.groups[0].curves}
    weighted = curves["best-of-N weighted"].points
    assert weighted[-1].accuracy > weighted[0].accuracy
    # The three ways, on held-out prompts, with points between the budgets; tokens are counted.
    assert set(WAYS.values()) < set(curves)
    assert [p.budget for p in curves[PRICE].points][:5] == [1, 1.19, 1.41, 1.68, 2]
    assert summary.groups[0].budgets == [1, 4, 16]
    each = 16 * weighted[0].tokens
    assert weighted[-1].tokens == pytest.approx(each)
    assert summary.gain is not None
    assert summary.cheapest == summary.gain.way
    assert summary.gain in summary.ways
    assert max(gain.times for gain in summary.ways) < summary.gain.times + 0.1
    assert all(gain.accuracy == summary.gain.accuracy for gain in summary.ways)
    assert all(gain.tokens is not None for gain in summary.ways)
    # Ways that stop early use samples that measure difficulty: no curves of them by bin.
    assert not {PRICE, TOTAL} & {curve.name for curve in summary.groups[1].curves}
    assert [group.name for group in summary.groups] == ["all prompts", "bin 1", "bin 2", "bin 3"]
    # Measured on one half of its samples or another, a prompt may be in several bins.
    assert 120 <= sum(group.prompts for group in summary.groups[1:]) <= 3 * 120
    assert summary.predictor is not None
    assert all(sum(row) == pytest.approx(1) for row in summary.predictor.confusion)
    # The easiest are mostly predicted to be so.
    assert summary.predictor.confusion[0][0] > 0.5


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    path, out = write(tmp_path / "log.parquet", rows_of(40, 16)), tmp_path / "artifact"
    status, shown, message = invoke("calibrate", "--from-logs", path, "--out", out)
    assert status == 0, message
    assert shown == ""  # what is told goes to the error stream, as everywhere
    assert "Wrote" in message
    assert "best-of-N" in (out / "report.html").read_text()
    again = ["calibrate", "--from-logs", path, "--out"]
    assert "exists already" in refused(*again, out)
    # Of pilots that are not asked for, those that the greatest budget leaves room for.
    assert (out / "difficulty-8.json").is_file()
    assert "from 1 to 15" in refused(*again, tmp_path / "b", "--pilots", "4,16")
    assert "NAME=COLUMN" in refused(*again, tmp_path / "b", "--columns", "answer")
    # There is no model in it to decode with.
    assert "made from logs" in refused("solve", "--artifact", out, "--budget", 4, "1+1")


def test_without_logs_prompts_and_models_are_needed(tmp_path: Path) -> None:
    assert "--from-logs" in refused("calibrate", "--out", tmp_path / "a")
    sampled = ["calibrate", "p.jsonl", "--out", tmp_path / "a", "--model", "m", "--verifier", "v"]
    assert "goes with --from-logs" in refused(*sampled, "--where", "model=a")
    assert "goes with --ray" in refused(*sampled, "--workers", 2)


def test_with_logs_nothing_is_sampled(tmp_path: Path) -> None:
    path = write(tmp_path / "log.parquet", rows_of(40, 16))
    logged = ["calibrate", "--from-logs", path, "--out", tmp_path / "a"]
    for option in (["--model", "m"], ["--verifier", "v"], ["--ray", "auto"], ["prompts.jsonl"]):
        assert "leave it out" in refused(*logged, *option)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Qwen3-0.6B", "Qwen3-1.7B"])
def test_real_traces(tmp_path: Path, model: str) -> None:
    path = SHARED / "qwen3_samples.parquet"
    if not path.is_file():
        pytest.skip(f"no real traces at {path}; made ones are tested above")
    out = tmp_path / "artifact"
    status, _, message = invoke(
        "calibrate", "--from-logs", path, "--where", f"model={model}", "--out", out
    )
    assert status == 0, message
    summary = Summary.load(out)
    assert (summary.prompts, summary.samples) == (90, 128)
    assert "<h1>" in (out / "report.html").read_text()
    majority = summary.groups[0].curves[0].points
    assert majority[-1].budget == 64
    assert majority[-1].accuracy > majority[0].accuracy + 0.05
