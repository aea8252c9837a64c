"""All logged samples are used, and no prompt's bin depends on the samples that judge a plan."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.bins import bin_of
from allocator.errors import InputError
from allocator.plan import Plan, plan_grid
from allocator.price import PriceList
from allocator.schedule import Schedule
from allocator.table import Fingerprint, LookupTable
from calibration.bench import baselines
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.fitting.fit import Calibration, fit
from calibration.fitting.gain_model import FittedGainModel, price_list
from calibration.fitting.log_scoring import log_scores
from calibration.from_logs import calibrate_from_logs, fit_log
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.curves import majority_curve
from calibration.replay.intervals import mean_interval
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.replay import Replay
from calibration.report.summarise import NAMES, summarise
from calibration.report.summary import Group, Summary
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.gain_model import COLUMNS, GainModel
from runtime.answers.selection import select
from tests.support.cli import invoke
from tests.support.logs import as_records, made_log, replay_of, rows_of, write
from tests.support.samples import make_sample

MAJORITY = NAMES["majority"]


def alike(questions: int, samples: int, seed: int = 0, scored: bool = True) -> Log:
    """Questions of one and the same difficulty: what tells them apart is chance alone."""
    rng = np.random.default_rng(seed)
    right = rng.random((questions, samples)) < 0.5
    answer = np.where(right, 0, rng.integers(1, 4, right.shape))
    scores = LoggedScores({"score": rng.random(right.shape)} if scored else {})
    return Log("alike", "0", answer, scores, np.ones(right.shape), 0)


def budgets_of(group: Group) -> list[float]:
    return [point.budget for point in group.curves[0].points]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "scored", "budgets", "pilots", "binned"),
    [
        (19, True, "1,2,4,8,16", [1, 2, 4, 8], [1, 2, 4, 8]),
        (16, False, "16", [1, 2, 4, 8], []),
        (16, True, "1", [1], [1]),
        (4, False, "1,4", [1, 2], [1]),
    ],
)
def test_budgets_may_take_all_samples(
    tmp_path: Path, samples: int, scored: bool, budgets: str, pilots: list[int], binned: list[int]
) -> None:
    rows = [
        {key: value for key, value in row.items() if scored or key != "score"}
        for row in rows_of(24, samples)
    ]
    out = tmp_path / "out"
    command = ["--from-logs", write(tmp_path / "log.jsonl", rows), "--out", out, "--bins", 2]
    status, _, message = invoke("calibrate", *command, "--budgets", budgets)
    assert status == 0, message
    asked = [int(budget) for budget in budgets.split(",")]
    table, oracle = (LookupTable.load(out / f"{name}table.json") for name in ("", "oracle_"))
    assert [row.budget for row in table.rows] == [row.budget for row in oracle.rows] == asked
    assert [row.budget for row in oracle.rows if row.edges] == binned
    summary = Summary.load(out)
    assert budgets_of(summary.groups[0]) == asked
    assert [budgets_of(group) for group in summary.groups[1:]] == ([binned] * 2 if binned else [])
    # The schedule goes as far as the log does.
    assert PriceList.load(out / "prices.json").schedule.stages[-1].samples == samples
    assert sorted(int(p.stem[11:]) for p in out.glob("difficulty-*.txt")) == pilots
    said = [w for w in summary.warnings if "measured difficulty" in w]
    if max(asked) <= samples // 2:
        assert not said
    else:
        assert said == [
            f"at budgets above {samples // 2} there are no curves by bin, and the table over "
            f"measured difficulty has one plan for all prompts: {samples - samples // 2} of the "
            f"{samples} samples per question measure difficulty there"
        ]


@pytest.mark.slow
def test_a_budget_beyond_the_samples_is_left_out_in_words(tmp_path: Path) -> None:
    calibrate_from_logs(made_log(20, 19), tmp_path / "a", budgets=[4, 19, 20], pilots=[1], n_bins=2)
    table = LookupTable.load(tmp_path / "a" / "table.json")
    assert [row.budget for row in table.rows] == [4, 19]
    assert any(
        re.match("budgets above 19 are left out", w) for w in Summary.load(tmp_path / "a").warnings
    )
    with pytest.raises(InputError, match="choose from 1 to 3, below the top budget"):
        calibrate_from_logs(made_log(20, 19), tmp_path / "b", budgets=[4], pilots=[4], n_bins=2)


@pytest.fixture
def without_gain_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting schedules takes seconds, and no test here reads them: nothing gains anything."""

    def unfitted(replayed: Sequence[tuple[Schedule, AdaptiveRuns]], *_: object) -> FittedGainModel:
        schedule, runs = replayed[0]
        gains = np.zeros((*runs.correct.shape, len(schedule.stages)))
        nothing = GainModel(weights=(0.0,) * len(COLUMNS), rho=1.0)
        return FittedGainModel(nothing, price_list(schedule, runs, gains), runs, gains)

    monkeypatch.setattr("calibration.fitting.fit.fit_gain_model", unfitted)


def fitted(log: Log, budgets: list[int], pilots: list[int]) -> tuple[LoggedReplay, Calibration]:
    replay = replay_of(log)

    def grid(budget: int, paid: int) -> list[Plan]:
        plans = plan_grid(budget, paid, ("best_of_n",))
        return [plan.model_copy(update={"selection": replay.selections[0]}) for plan in plans]

    fingerprint = Fingerprint(model="m", verifier="v", answers="a", sampling={})
    return replay, fit(replay, grid, budgets, pilots, 3, fingerprint)


def summary_of(replay: LoggedReplay, made: Calibration, samples: int) -> Summary:
    return summarise(
        replay,
        made,
        source="",
        selections=replay.selections,
        strategies=("best_of_n",),
        samples=samples,
        sampled_tokens=0,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("without_gain_model")
@pytest.mark.parametrize("scored", [True, False])
def test_where_chance_alone_tells_questions_apart_bins_do_not_differ(scored: bool) -> None:
    # Were a bin measured on what a plan is judged by, the first would do far better than the last.
    log = alike(600, 19, scored=scored)
    replay, made = fitted(log, [1, 2, 4, 8, 16], [1, 4, 12])
    summary = summary_of(replay, made, 19)
    first, *_, last = summary.groups[1:]
    assert first.hardest > last.easiest, "they do differ in what was measured"
    for easy, hard in zip(first.curves, last.curves, strict=True):
        for low, high in zip(hard.points, easy.points, strict=True):
            assert abs(low.accuracy - high.accuracy) < 0.06, easy.name
    for row in made.oracle_table.rows:
        accuracies = [cell.accuracy for cell in row.cells]
        assert max(accuracies) - min(accuracies) < 0.06
    for known in made.difficulty.values():
        assert abs(known.rank_correlation) < 0.12


@pytest.mark.usefixtures("without_gain_model")
def test_an_oracle_bin_may_be_empty_beside_many_pilots(tmp_path: Path) -> None:
    # Two of four samples measure 0, a half or 1; the one that three pilots leave, 0 or 1.
    replay, made = fitted(made_log(60, 4, seed=1), [1, 2, 4], [3])
    summary = summary_of(replay, made, 4)
    easy, half, hard = summary.predictor.confusion
    assert half == (0, 0, 0)
    assert sum(easy) == pytest.approx(1) == sum(hard)
    summary.save(tmp_path)
    assert Summary.load(tmp_path) == summary


def test_difficulty_is_measured_apart_from_what_is_judged_and_from_pilots() -> None:
    log = made_log(30, 19)
    replay = replay_of(log)
    for pilots, first in ((0, 9), (4, 9), (12, 12), (18, 18)):
        assert replay.pass_at_1_samples(pilots) == 19 - first
        for replicate in (0, 7, 15):
            place = replay._place(replicate, 19)
            changed = log.answer.copy()
            changed[:, place[:first]] = 1 - (changed[:, place[:first]] == 0)
            same = replay_of(replace(log, answer=changed)).pass_at_1(pilots)[:, replicate]
            np.testing.assert_array_equal(replay.pass_at_1(pilots)[:, replicate], same)
    with pytest.raises(InputError, match="less than the 19"):
        replay.pass_at_1(19)


def test_bins_of_paired_outcomes_hold_their_true_accuracy() -> None:
    # Of many questions of known difficulty: accuracy in a bin is the mean truth of its entries.
    rng = np.random.default_rng(3)
    truth = rng.beta(0.8, 0.8, 3000)
    right = rng.random((3000, 19)) < truth[:, None]
    log = Log("known", "0", np.where(right, 0, 1), LoggedScores(), None, 0)
    replay = replay_of(log)
    measured, questions = replay.pass_at_1(0), np.arange(3000)[:, None].repeat(16, axis=1)
    # Of two answers, the right one wins three votes with this chance.
    wins = truth**3 + 3 * truth**2 * (1 - truth)
    plan = Plan(strategy="best_of_n", n=3, selection="majority")
    correct = replay.without_closed_forms.outcome(plan, 0).correct
    for inside in (measured < 0.2, (measured >= 0.2) & (measured < 0.8), measured >= 0.8):
        error = correct[inside] - wins[questions[inside]]
        _, low, high = mean_interval(error, questions[inside])
        assert low < 0 < high
    # The closed form is of all samples: binned, it would flatter the easy.
    exact = replay.outcome(plan, 0).correct
    assert (exact - wins[questions])[measured >= 0.8].mean() > 0.004


def shares(answers: list[str | None], gold: str, n: int) -> float:
    """The right answer's share of wins by most votes, over all subsets."""
    won = []
    for subset in combinations(answers, n):
        votes = {a: subset.count(a) for a in subset if a is not None}
        top = [a for a in votes if votes[a] == max(votes.values())]
        won.append((gold in top) / len(top) if top else 0.0)
    return float(np.mean(won))


def test_majority_as_a_method_has_no_verifier_in_it() -> None:
    # Right and wrong tie at every even number of votes, and the verifier likes what is wrong.
    answers = ["a", "b", "a", "b", None, "c"]
    samples = tuple(make_sample(answer, 0.1 if answer == "a" else 0.9) for answer in answers)
    record = PromptRecord(
        "p", "a", 1, PlanRun(samples, tuple(s.answer == "a" for s in samples), 1), ({},)
    )
    replay = Replay([record], 6, replicates=6)
    assert select(samples[:2], "majority").answer == "b", "as a plan, it has ties scored"
    curve = majority_curve(MAJORITY, replay, [1, 2, 4, 6])
    # All six rotations of one answer are all the subsets of it; so are those of all six.
    assert curve.correct[0, 0] == pytest.approx(shares(answers, "a", 1))
    assert curve.correct[3, 0] == pytest.approx(shares(answers, "a", 6)) == 0.5
    # Rotations: ab ba ab b_ _c ca; and abab bab_ ab_c b_ca _cab caba.
    assert curve.correct[1, 0] == pytest.approx((0.5 + 0.5 + 0.5 + 0 + 0 + 0.5) / 6)
    assert curve.correct[2, 0] == pytest.approx((0.5 + 0 + 1 / 3 + 1 / 3 + 1 / 3 + 1) / 6)
    assert curve.generations[:, 0].tolist() == [1, 2, 4, 6]


@pytest.mark.parametrize("scored", [True, False])
def test_majority_of_a_log_is_exact_with_ties_shared(scored: bool) -> None:
    log = made_log(8, 9, seed=5, scored=scored)
    found = [replay_of(log).majority(n).correct[:, 0] for n in (1, 4, 9)]
    for n, correct in zip((1, 4, 9), found, strict=True):
        for question, answers in enumerate(log.answer.tolist()):
            named = [None if a == -1 else str(a) for a in answers]
            assert correct[question] == pytest.approx(shares(named, "0", n))


@pytest.mark.parametrize("how", ["weighted", "majority", "best"])
def test_a_log_chooses_as_select_does_where_weights_and_scores_tie(how: Any) -> None:
    log = made_log(30, 8, seed=7)
    coarse = np.round(log.scores.first * 2) / 2  # 0, 0.5 or 1
    for scores in (coarse, np.zeros_like(coarse)):
        log = replace(log, scores=LoggedScores({"score": scores}))
        plan = Plan(strategy="best_of_n", n=6, selection=how)
        found = LoggedReplay(log, scores, 8, exact=False).outcome(plan, 0).correct
        for record, correct in zip(as_records(log), found, strict=True):
            samples = record.independent.samples * 2
            of_rotations = [select(samples[r : r + 6], how).answer == "0" for r in range(8)]
            assert correct.tolist() == of_rotations


@pytest.mark.slow
@pytest.mark.usefixtures("without_gain_model")
def test_the_majority_that_reports_show_does_not_move_with_the_scores() -> None:
    log = made_log(40, 16)
    rng = np.random.default_rng(1)

    def shown(score: Any) -> tuple[Any, Any]:
        other = replace(log, scores=LoggedScores({"score": score}))
        replay, made = fitted(other, [2, 4, 8], [1])
        summary = summarise(
            replay,
            made,
            source="",
            selections=replay.selections,
            strategies=("best_of_n",),
            samples=16,
            sampled_tokens=0,
        )
        of_log = [[c for c in group.curves if c.name == MAJORITY] for group in summary.groups[:1]]
        plan = Plan(strategy="beam_search", n=4, beam_width=4)
        pair = Plan(strategy="beam_search", n=2, beam_width=2)
        records = [
            replace(r, repeats=({plan: r.independent, pair: r.independent},))
            for r in as_records(other)
        ]
        (benched,) = [c for c in baselines(Replay(records, 16), [2, 4]) if c.name == MAJORITY]
        return of_log, benched.correct.tolist()

    assert shown(log.scores.values["score"]) == shown(rng.random(log.answer.shape))


def test_a_verifier_that_passes_or_fails_makes_bins_that_live_prompts_fall_into() -> None:
    # Held-out scorings differ by fold. If difficulty were read from them, so would equal samples.
    def passed(questions: int, number: int) -> Log:
        log = made_log(questions, 8, number, scored=False)
        told = np.random.default_rng(number).random(log.answer.shape)
        passes = np.where(log.correct, told < 0.7, told < 0.3).astype(float)
        return replace(log, scores=LoggedScores({"passed": passes}), tokens=None)

    made = fit_log(passed(100, 1), budgets=[1, 4], pilots=[2], n_bins=5, n_jobs=1)
    assert made.scoring is not None
    live = passed(500, 51)
    replay = LoggedReplay(live, log_scores(made.scoring, live), n_jobs=1)
    known, features = made.calibration.difficulty[2], replay.features(2)
    predicted = known.model.predictor.predict(features.reshape(-1, features.shape[-1]))
    promised, found = (
        np.bincount(bin_of(known.edges, values), minlength=len(known.edges) + 1) / len(values)
        for values in (known.predicted, predicted)
    )
    assert promised.min() > 0.05
    np.testing.assert_allclose(found, promised, atol=0.15)
