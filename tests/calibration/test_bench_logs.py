"""``ttc bench --from-logs``: methods replayed on logged questions that were not calibrated on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.bench import BASELINE, findings_of
from calibration.bench_logs import (
    CONSISTENCY,
    WEIGHTED_CONSISTENCY,
    LogFindings,
    as_chosen,
    baseline_curves,
    log_curves,
    measure_log,
    measure_splits,
    pooled,
    splits,
)
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log, read_log
from calibration.from_logs import FittedLog, calibrate_from_logs, fit_log
from calibration.replay.curves import Curve, differences_at_cost, resamples
from calibration.replay.saving_rows import part_way
from calibration.replay.ways import CHOSEN, PREDICTED, PRICE, TOTAL, Way
from calibration.report.bench_result import BenchResult, Findings
from calibration.report.methods import stored_baseline, stored_baseline_score
from calibration.report.summarise import FITTED, NAMES
from calibration.report.summary import Summary
from calibration.unseen import few_prompts, unseen_questions
from runtime.artifact import FittedPolicy
from tests.support.cli import assert_readable, invoke, refused
from tests.support.logs import made_log, write

BUDGETS, PILOTS = [1, 2, 4, 8], [1, 2]


def telling(questions: int, samples: int, seed: int = 0) -> Log:
    """A log in which the first score tells little, and the second and the length tell much."""
    log = made_log(questions, samples, seed)
    rng = np.random.default_rng(seed)
    noisy = np.clip(rng.normal(0.5 + 0.05 * log.correct, 0.2), 0, 1)
    strong = np.clip(rng.normal(0.3 + 0.4 * log.correct, 0.15), 0, 1)
    tokens = rng.integers(20, 60, log.answer.shape) + 40.0 * ~log.correct
    names = tuple(f"question {number}" for number in range(questions))
    scores = LoggedScores({"last": noisy, "product": strong})
    return replace(log, scores=scores, tokens=tokens, questions=names)


@pytest.fixture(scope="module")
def fitted() -> FittedLog:
    return fit_log(telling(80, 10), budgets=BUDGETS, pilots=PILOTS, n_bins=2, n_jobs=1)


def by_name(findings: Findings) -> dict[str, Any]:
    return {curve.name: curve for curve in findings.curves}


@pytest.mark.slow
def test_every_method_is_measured_and_the_fitted_score_is_the_better_one(
    fitted: FittedLog,
) -> None:
    test = telling(200, 10, seed=1)
    found = measure_log(
        test, fitted.fitted_policy, fitted.fitted_policy.policy.table, "price", n_jobs=1
    )
    curves = by_name(found.findings)
    assert list(curves) == [
        *(NAMES["majority"], BASELINE, FITTED, CONSISTENCY, WEIGHTED_CONSISTENCY),
        *(PREDICTED, PRICE, TOTAL),
    ]
    assert (found.findings.baseline, found.findings.policy) == (BASELINE, PRICE)
    at_8 = {name: curve.at(8) for name, curve in curves.items()}
    assert at_8[FITTED].accuracy > at_8[BASELINE].accuracy + 0.05
    # Of one sample no score chooses: all are pass@1, up to rotations.
    assert curves[FITTED].at(1).accuracy == curves[BASELINE].at(1).accuracy
    times = {(row.method, row.share): row.value for row in found.findings.gains if row.budget == 8}
    assert times[PRICE, 1.0] > times[FITTED, 1.0] > 1.5
    assert times[BASELINE, 1.0] == pytest.approx(1)
    assert times[BASELINE, 0.95] > 1


@pytest.mark.slow
def test_a_single_question_is_refused(fitted: FittedLog) -> None:
    with pytest.raises(InputError, match="from-logs: 1: give at least 2 prompts to measure"):
        measure_log(telling(1, 10), fitted.fitted_policy, fitted.fitted_policy.policy.table)


def test_a_note_where_intervals_are_over_few_prompts() -> None:
    (note,) = few_prompts(19)
    assert note.startswith("Measured on 19 prompts: intervals over fewer than 20")
    assert few_prompts(20) == ()


@pytest.mark.slow
@pytest.mark.parametrize("way", [None, "bins", "price"])
def test_a_table_need_not_begin_at_one_sample(fitted: FittedLog, way: Way | None) -> None:
    table = fitted.fitted_policy.policy.table
    later = table.model_copy(update={"rows": table.rows[1:]})
    found = measure_log(
        telling(30, 10, seed=1), fitted.fitted_policy, later, way, n_jobs=1
    ).findings
    assert [line.budget for line in found.differences] == list(found.budgets) == [2, 4, 8]
    assert by_name(found)[BASELINE].points[0].budget == 1, "from where a part of the way is counted"


@pytest.mark.slow
def test_curves_by_hand(fitted: FittedLog) -> None:
    # Two questions that are always right and one that never is, whatever is done.
    answer = np.repeat([[0], [0], [1]], 10, axis=1)
    scores = LoggedScores({name: np.full((3, 10), 0.5) for name in ("last", "product")})
    log = Log("by hand", "", answer, scores, np.full((3, 10), 7.0), 0)
    curves = {
        curve.name: curve
        for curve in log_curves(
            log, fitted.fitted_policy, fitted.fitted_policy.policy.table, "last", 1
        )
    }
    for curve in curves.values():
        np.testing.assert_allclose(curve.correct, np.tile([1, 1, 0], (len(curve.budgets), 1)))
        np.testing.assert_allclose(curve.tokens, 7 * curve.generations)
    assert curves[BASELINE].generations[:, 0].tolist() == [1, 2, 4, 8]
    # All votes for one answer: at 95% confidence, 1 - 0.5 ** (n + 1) asks for 4 votes.
    (at_95,) = np.flatnonzero(np.isclose(curves[CONSISTENCY].budgets, 0.95))
    assert curves[CONSISTENCY].generations[at_95].tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("share", "parts", "tested"),
    [(0.5, 2, 50), (0.8, 5, 20), (0.3, 1, 70), (0.67, 3, 33), (0.6, 1, 40), (0.4, 1, 60)],
)
def test_splits_test_each_question_on_others(share: float, parts: int, tested: int) -> None:
    found = list(splits(100, share, [0, 1]))
    assert len(found) == 2 * parts
    for train, test in found:
        assert not set(train.tolist()) & set(test.tolist())
        assert len(train) + len(test) == 100
        assert len(test) == pytest.approx(tested, abs=1)
    times = np.bincount(np.concatenate([test for _, test in found[:parts]]), minlength=100)
    assert times.max() == 1
    assert times.all() == (parts > 1)
    assert found[0][1].tolist() != found[parts][1].tolist()


def test_a_question_counts_by_its_mean_over_the_parts_that_tested_it() -> None:
    def curve(values: list[float]) -> Curve:
        row = np.array([values])
        return Curve("m", (1,), row, 10 * row, 100 * row, 1000 * row)

    parts = [
        (np.array([0, 2]), [curve([1.0, 0.0])]),
        (np.array([2, 3]), [curve([1.0, 0.5])]),
    ]
    tested, (found,) = pooled(parts, 5)
    assert tested.tolist() == [0, 2, 3]
    assert found.correct.tolist() == [[1.0, 0.5, 0.5]]
    assert found.generations.tolist() == [[10.0, 5.0, 5.0]]
    assert found.tokens.tolist() == [[100.0, 50.0, 50.0]]
    assert found.flops.tolist() == [[1000.0, 500.0, 500.0]]


def test_each_calibrations_way_has_points_at_the_same_average_budgets() -> None:
    def curve(name: str, budgets: tuple[float, ...]) -> Curve:
        rows = np.array(budgets)[:, None]
        return Curve(name, budgets, rows / 100, rows, 10 * rows, 0 * rows)

    averages = (1.0, 1.5, 2.0, 3.0, 4.0)
    curves = [curve(PREDICTED, (1, 2, 4)), curve(PRICE, averages), curve(TOTAL, averages)]
    by_bins = as_chosen(curves, "bins")
    # Between two budgets of the table the smaller one is spent.
    assert by_bins.generations.ravel().tolist() == [1, 1, 2, 2, 4]
    assert by_bins.tokens.ravel().tolist() == [10, 10, 20, 20, 40]
    by_price = as_chosen(curves, "price")
    assert (by_price.name, by_price.budgets) == (CHOSEN, averages)
    assert by_price.generations.ravel().tolist() == list(averages)


def test_accuracies_are_compared_at_the_cost_that_was_spent() -> None:
    def curve(name: str, correct: list[float], spent: list[float]) -> Curve:
        rows = np.tile(np.array(correct)[:, None], (1, 5))
        costs = np.tile(np.array(spent)[:, None], (1, 5))
        return Curve(name, tuple(BUDGETS), rows, costs, costs, 0 * costs)

    baseline = curve(BASELINE, [0.2, 0.3, 0.4, 0.5], [1, 2, 4, 8])
    # It spends half as much again as its budget, and no more than 6.
    method = curve(PRICE, [0.3, 0.4, 0.5, 0.5], [1.5, 3, 6, 6])
    right = np.full(5, 0.2)
    found = findings_of([baseline, method], BASELINE, BUDGETS, right, "price", 1).differences
    assert [row.budget for row in found] == BUDGETS
    at_cost = [0.3 / 1.5, 0.3 + 0.1 / 3, 0.4 + 0.1 / 3, 0.5]
    expected = [one - other for one, other in zip(at_cost, [0.2, 0.3, 0.4, 0.5], strict=True)]
    for key in ("value", "low", "high"):  # all prompts are alike
        assert [getattr(row, key) for row in found] == pytest.approx(expected)
    same = differences_at_cost(baseline, baseline, resamples(5))
    assert [row["value"] for row in same] == pytest.approx([0] * 4)


def test_part_of_the_way_from_one_sample() -> None:
    curve = Curve("m", (1, 16), np.array([[0.2], [0.6]]), *np.ones((3, 2, 1)))
    assert part_way(curve, 0.95).correct.ravel().tolist() == pytest.approx([0.2, 0.58])
    assert part_way(curve, 1.0).correct.ravel().tolist() == pytest.approx([0.2, 0.6])


@pytest.mark.slow
def test_repeated_splits_are_the_same_for_any_number_of_jobs() -> None:
    log = telling(44, 4)
    found = [measure_splits(log, 0.5, [0], [1, 2], [1], 1, n_jobs).findings for n_jobs in (1, 2)]
    assert found[0] == found[1]
    assert found[0].prompts == 44


def test_a_split_whose_calibration_gets_no_correct_sample_is_refused_first() -> None:
    log = telling(60, 6)
    hard = replace(log, answer=np.where(log.correct, 1, log.answer))
    measured: list[object] = []

    def measure(log: Log) -> None:
        measure_splits(log, 0.5, range(5), BUDGETS[:3], PILOTS, 1, 1, measured.append)

    with pytest.raises(InputError, match=r"correct: 0: no sample of any question .* check the"):
        measure(hard)
    hard.answer[[3, 17], 0] = 0
    with pytest.raises(InputError, match=r"split: 0\.5: only 2 of 60 questions have a correct"):
        measure(hard)
    assert not measured


def misleading(questions: int, samples: int, seed: int = 0) -> Log:
    """A log whose score is lower where a sample is right: weighted votes are worse than plain."""
    log = made_log(questions, samples, seed)
    rng = np.random.default_rng(seed)
    score = np.clip(rng.normal(0.5 - 0.2 * log.correct, 0.2), 0.01, 1)
    names = tuple(f"question {seed} {number}" for number in range(questions))
    return replace(log, scores=LoggedScores({"score": score}), questions=names)


@pytest.mark.slow
def test_a_poor_score_does_not_make_the_baseline_worse_than_majority() -> None:
    log = misleading(60, 8)
    found = measure_splits(log, 0.5, [0], BUDGETS, [1], 1, 1).findings
    curves = by_name(found)
    assert curves[BASELINE].at(8).accuracy < curves[NAMES["majority"]].at(8).accuracy - 0.02
    assert found.baseline == NAMES["majority"]
    times = {row.method: row.value for row in found.gains if (row.budget, row.share) == (8, 1)}
    assert times[NAMES["majority"]] == pytest.approx(1)


@pytest.mark.slow
def test_the_baseline_is_the_one_that_calibration_stored(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    calibrate_from_logs(misleading(40, 8), folder, budgets=BUDGETS, pilots=[1], n_bins=1, n_jobs=1)
    summary = Summary.load(folder)
    assert summary.baseline == stored_baseline(folder) == NAMES["majority"]
    policy = FittedPolicy.load(folder)
    test = misleading(40, 8, seed=1)

    def measured(baseline: str | None) -> LogFindings:
        return measure_log(test, policy, policy.policy.table, "price", 1, baseline)

    found = measured(stored_baseline(folder))
    assert (found.findings.baseline, found.notes) == (NAMES["majority"], ())
    # Earlier versions always compared with weighted votes.
    for older in (BASELINE, None):
        found = measured(older)
        (note,) = found.notes
        assert found.findings.baseline == BASELINE
        assert note.startswith("At 8 generations per prompt majority is more accurate than best-of")


def with_a_poor_score(questions: int, samples: int, seed: int = 0) -> Log:
    """A log of a misleading score, then log-odds that tell right from wrong."""
    log = misleading(questions, samples, seed)
    rng = np.random.default_rng([seed, 1])
    told = rng.normal(3 * log.correct - 1.5, 1.5)
    scores = LoggedScores({**log.scores.values, "told": told}, logits=("told",))
    return replace(log, scores=scores)


@pytest.mark.slow
def test_of_several_scores_the_baseline_has_the_most_accurate(tmp_path: Path) -> None:
    log = with_a_poor_score(60, 8)
    found = measure_splits(log, 0.5, [0], BUDGETS, [1], 1, 1)
    assert found.findings.baseline == BASELINE
    assert found.notes == (
        f"The score of {BASELINE}, as each calibration chose it: score 0, told 2.",
    )
    best = next(c for c in baseline_curves(log, [8], "told", 1) if c.name == BASELINE)
    assert by_name(found.findings)[BASELINE].at(8).accuracy == pytest.approx(best.correct.mean())

    folder = tmp_path / "a"
    calibrate_from_logs(log, folder, budgets=BUDGETS, pilots=[1], n_bins=1, n_jobs=1)
    assert stored_baseline_score(folder) == "told"
    policy = FittedPolicy.load(folder)
    test = with_a_poor_score(40, 8, seed=1)

    def accuracy(score: str | None) -> float:
        table = policy.policy.table
        found = measure_log(test, policy, table, "price", 1, BASELINE, score).findings
        return float(by_name(found)[BASELINE].at(8).accuracy)

    assert accuracy("told") > accuracy("score") + 0.02
    # Earlier versions took the first score, and of a log without the stored one it is all there is.
    assert accuracy(None) == accuracy("of another log") == accuracy("score")


def rows(log: Log) -> list[dict[str, Any]]:
    tokens = np.asarray(log.tokens)
    return [
        {
            "question": log.questions[q],
            "answer": "" if answer == -1 else str(answer),
            "correct": bool(answer == 0),
            **{name: float(values[q, i]) for name, values in log.scores.values.items()},
            "tokens": int(tokens[q, i]),
        }
        for q, answers in enumerate(log.answer.tolist())
        for i, answer in enumerate(answers)
    ]


SCORES = ["--columns", "score=last,product"]


@pytest.mark.slow
def test_the_command_on_an_artifact_leaves_out_what_it_has_seen(tmp_path: Path) -> None:
    every = rows(telling(90, 8))
    first = write(tmp_path / "first.jsonl", [r for r in every if r["question"] < "question 5"])
    all_of_it = write(tmp_path / "all.jsonl", every)
    made = ["calibrate", "--from-logs", first, *SCORES, "--out", tmp_path / "a", "--bins", 2]
    assert invoke(*made)[0] == 0
    out = tmp_path / "new" / "bench"
    bench = ["bench", "--artifact", tmp_path / "a", *SCORES, "--out", out, "--from-logs"]
    status, shown, message = invoke(*bench, all_of_it)
    assert status == 0, message
    assert_readable(shown)
    assert "How many times fewer than best-of-N weighted with N = 8" in " ".join(shown.split())
    result = BenchResult.load(out / "bench.json")
    left_out = len({r["question"] for r in every if r["question"] < "question 5"})
    assert (result.left_out, result.prompts) == (left_out, 90 - left_out)
    assert f"{left_out} prompts that the artifact was calibrated on" in message
    page = (out / "bench.html").read_text()
    assert "95% of the way to its accuracy" in page
    assert CONSISTENCY in page
    assert "calibrated on every one of its questions" in refused(*bench, first)
    some = write(tmp_path / "some.jsonl", [r for r in every if r["question"] >= "question 88"])
    status, _, message = invoke(*bench, some)
    assert status == 0, message
    assert "Measured on 3 prompts: intervals over fewer than 20" in " ".join(message.split())


@pytest.mark.slow
def test_the_command_with_a_split(tmp_path: Path) -> None:
    path = write(tmp_path / "log.parquet", rows(telling(44, 4)))
    out = tmp_path / "bench"
    bench = ["bench", "--from-logs", path, *SCORES, "--out", out]
    status, _, message = invoke(*bench, "--split", 0.5, "--splits", 1)
    assert status == 0, message
    result = json.loads((out / "bench.json").read_text())
    assert result["prompts"] == 44
    assert result["artifact"] == "calibrations on 50% of the log, 1 shuffle"
    assert result["budgets"] == [1, 2, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --artifact"),
        (["--split", "0.5", "--artifact", "none"], "one of the two"),
        (["--split", "0.5", "--splits", "0"], "must be 1 or more"),
        (["--artifact", "none", "--splits", "3"], "goes with --split"),
        (["--split", "0.5", "--logits", "other"], "the columns of scores are last, product"),
        (["--split", "1.5"], "between 0 and 1"),
        (["--split", "0.9"], "leaves 4 on one side"),
        (["--split", "0.5", "--budgets", "64"], "6 samples per question"),
        (["--split", "0.5", "--budgets", "0,4"], "give one or more budgets of at least 1"),
        (["--split", "0.5", "--engine", "vllm"], "does not apply to --from-logs"),
        (["--split", "0.5", "--prompts", "9"], "does not apply to --from-logs"),
        (["--split", "0.5", "--force"], "does not apply to --from-logs"),
        (["data.jsonl", "--split", "0.5"], "does not apply to --from-logs"),
    ],
)
def test_what_the_command_refuses(tmp_path: Path, arguments: list[str], message: str) -> None:
    path = write(tmp_path / "log.jsonl", rows(telling(40, 6)))
    out = tmp_path / "bench"
    assert message in refused("bench", "--from-logs", path, *SCORES, "--out", out, *arguments)
    assert not out.exists()


def test_a_calibration_whose_budgets_are_all_beyond_the_log_says_what_the_log_has(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "log.jsonl", rows(telling(40, 6)))
    calibrate = ["calibrate", "--from-logs", path, *SCORES, "--out", tmp_path / "a"]
    assert "the log has 6 samples per question" in refused(*calibrate, "--budgets", "32,64")


@pytest.mark.parametrize("option", [["--split", "0.5"], ["--where", "a=b"], ["--answers", "math"]])
def test_options_of_logs_are_refused_without_one(option: list[str]) -> None:
    assert "goes with --from-logs" in refused("bench", "data.jsonl", "--artifact", "a", *option)


@pytest.mark.slow
def test_a_score_that_the_artifact_weighs_and_the_log_lacks(
    fitted: FittedLog, tmp_path: Path
) -> None:
    log = telling(30, 8, seed=2)
    poorer = replace(log, scores=LoggedScores({"last": log.scores.values["last"]}))
    table = fitted.fitted_policy.policy.table
    with pytest.raises(InputError, match=r"'product': the artifact weighs it, and .* name one so"):
        measure_log(poorer, fitted.fitted_policy, table)
    with pytest.raises(InputError, match="'tokens': the artifact weighs it"):
        measure_log(replace(log, tokens=None), fitted.fitted_policy, table)


@pytest.mark.slow
def test_the_cheapest_way_is_the_summarys(fitted: FittedLog) -> None:
    assert fitted.cheapest is not None
    assert fitted.cheapest == fitted.summary().cheapest


@pytest.mark.slow
def test_a_score_on_another_scale_is_refused(fitted: FittedLog) -> None:
    log = telling(30, 8, seed=2)
    as_odds = replace(log, scores=LoggedScores(dict(log.scores.values), ("product",)))
    with pytest.raises(InputError, match="'product': it holds log-odds in made, and held prob"):
        measure_log(as_odds, fitted.fitted_policy, fitted.fitted_policy.policy.table)


@pytest.mark.slow
def test_a_log_without_tokens_is_measured_in_samples_alone(tmp_path: Path) -> None:
    every = [{k: v for k, v in row.items() if k != "tokens"} for row in rows(telling(44, 4))]
    out = tmp_path / "bench"
    path = write(tmp_path / "log.jsonl", every)
    status, shown, message = invoke(
        *("bench", "--from-logs", path, *SCORES, "--split", 0.5, "--splits", 1, "--out", out)
    )
    assert status == 0, message
    assert "not counted" in shown
    assert "not counted" in (out / "bench.html").read_text()
    assert {row.unit for row in BenchResult.load(out / "bench.json").gains} == {"generations"}


@pytest.mark.slow
def test_an_artifact_from_logs_is_read_back_as_it_was_fitted(tmp_path: Path) -> None:
    log = telling(40, 8)
    calibrate_from_logs(log, tmp_path / "a", budgets=[1, 4], pilots=[1], n_bins=2, n_jobs=1)
    policy = FittedPolicy.load(tmp_path / "a")
    made = fit_log(log, budgets=[1, 4], pilots=[1], n_bins=2, n_jobs=1).fitted_policy
    assert policy.scoring == made.scoring
    assert policy.policy.table == made.policy.table
    assert policy.prices == made.prices
    fresh = telling(50, 8, seed=1)
    renamed = replace(fresh, questions=tuple(f"other {n}" for n in range(50)))
    both = [unseen_questions(each, tmp_path / "a") for each in (fresh, renamed)]
    # The first 40 questions have the names of those that were calibrated on.
    assert [(len(left.answer), out) for left, out in both] == [(10, 40), (50, 0)]
    # Known by another column, they cannot be told from new ones.
    by_number = replace(fresh, question_column="number")
    assert unseen_questions(by_number, tmp_path / "a") == (by_number, None)
    # One column in common is enough.
    by_both = replace(by_number, aliases={"question": fresh.questions})
    left, out = unseen_questions(by_both, tmp_path / "a")
    assert (len(left.answer), left.aliases["question"][0], out) == (10, "question 40", 40)


def test_questions_may_have_different_numbers_of_samples(tmp_path: Path) -> None:
    made = [
        {"question": f"q{q}", "answer": str(i % (q + 1)), "gold": "0", "score": 0.5, "tokens": i}
        for q, count in enumerate([4, 6, 5, 2])
        for i in range(count)
    ]
    log = read_log(write(tmp_path / "log.jsonl", made))
    assert log.questions == ("q0", "q1", "q2")
    assert log.sizes.tolist() == [4, 6, 5]
    assert log.left_out == 1
    # What is not there is no sample: it is not right, and has no tokens.
    assert log.correct.sum(1).tolist() == [4, 3, 2]
    assert log.tokens.sum(1).tolist() == [6, 15, 10]
    assert log.sampled.sum(1).tolist() == [4, 6, 5]
    part = log.take(np.array([2, 0]))
    assert part.questions == ("q2", "q0")
    assert part.sizes.tolist() == [5, 4]
