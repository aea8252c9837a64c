"""The scoring fitted within questions."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.fitting.log_scoring import fit_scoring
from calibration.fitting.scoring import WithinQuestions, fitted_scoring
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.sample import Sample
from predictors.scoring import Scoring, alone
from tests.support.samples import make_sample


def drawn(seed: int, prompts: int) -> list[PromptRecord]:
    """Solutions that are correct with odds made of score and log-probability by known weights."""
    rng = np.random.default_rng(seed)
    truth = Scoring(intercept=2.0, scores={"last": 0.5}, sqrt_nll=-1.5)
    records = []
    for number in range(prompts):
        samples: list[Sample] = []
        correct: list[bool] = []
        for _ in range(8):
            score, logprob = rng.uniform(0.05, 0.95), -rng.exponential(3)
            samples.append(make_sample("1", score, steps=((1, 2, 3),), logprob=logprob))
            correct.append(bool(rng.random() < truth.score({"last": score}, logprob)))
        records.append(
            PromptRecord(str(number), "1", 3, PlanRun(tuple(samples), tuple(correct), 0), ({},))
        )
    return records


def test_the_fit_finds_the_weights() -> None:
    fitted = fit_scoring(drawn(0, 2000))
    # Of one step all aggregations are the same: only the first has a weight.
    assert list(fitted.scores) == ["last"]
    assert fitted.intercept == pytest.approx(2.0, abs=0.2)
    assert fitted.scores["last"] == pytest.approx(0.5, abs=0.1)
    assert fitted.sqrt_nll == pytest.approx(-1.5, abs=0.15)


def test_with_every_solution_right_the_verifier_stands() -> None:
    records = drawn(0, 3)
    right = [
        PromptRecord(r.prompt, r.gold, 3, PlanRun(r.independent.samples, (True,) * 8, 0), ({},))
        for r in records
    ]
    assert fit_scoring(right) == alone("last")


Arrays = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]


def confounded(questions: int, each: int, seed: int = 0) -> Arrays:
    """Two columns: one tells right from wrong within questions, one tells easy questions.

    Returns:
        Columns, correctness, and the question of each solution.
    """
    rng = np.random.default_rng(seed)
    ease = rng.normal(0, 2, questions)
    owners = np.repeat(np.arange(questions), each)
    inner = rng.normal(size=len(owners))
    correct = rng.random(len(owners)) < 1 / (1 + np.exp(-ease[owners] - inner))
    return np.stack([inner, ease[owners]], axis=1), correct, owners


def test_a_column_that_only_tells_easy_questions_has_no_weight() -> None:
    columns, correct, owners = confounded(400, 16)
    fitted = WithinQuestions().fit(columns, correct, owners)
    inner, ease = fitted.coef_
    assert inner > 0.5
    assert ease == 0.0


def test_questions_weigh_the_same_however_many_samples_they_have() -> None:
    columns, correct, owners = confounded(200, 8)
    once = WithinQuestions().fit(columns, correct, owners)
    # The first half of the questions logged three times over.
    half = np.flatnonzero(owners < 100)
    more = np.concatenate([np.arange(len(owners)), half, half])
    again = WithinQuestions().fit(columns[more], correct[more], owners[more])
    ratio = again.coef_[0] / once.coef_[0]
    # Calibration to probabilities sees more easy questions; the order within questions is the same.
    assert ratio == pytest.approx(1.0, abs=0.1)


def test_of_useless_scores_the_weights_are_small() -> None:
    rng = np.random.default_rng(1)
    owners = np.repeat(np.arange(60), 8)
    noise = {f"noise {i}": rng.random(len(owners)) for i in range(4)}
    fitted = fitted_scoring(noise, rng.random(len(owners)) < 0.5, owners)
    assert max(map(abs, fitted.scores.values())) < 0.15


def test_without_an_answer_there_is_nothing_to_learn() -> None:
    none = np.zeros(0)
    found = fitted_scoring({"reward": none}, none.astype(bool), none.astype(int))
    assert found.scores == {"reward": 1.0}


def test_scores_as_log_odds_are_taken_as_they_are() -> None:
    columns, correct, owners = confounded(400, 16)
    inner = columns[:, 0]
    as_odds = fitted_scoring({"reward": inner}, correct, owners, logits=("reward",))
    as_shares = fitted_scoring({"reward": 1 / (1 + np.exp(-inner))}, correct, owners)
    assert as_odds.scores == pytest.approx(as_shares.scores, abs=2e-3)
    assert as_odds.logits == ("reward",)


@pytest.mark.parametrize(("scale", "mean"), [(20, 60), (500, -20_000), (5000, 0), (0.01, 3)])
def test_the_scale_of_rewards_does_not_matter(scale: float, mean: float) -> None:
    columns, correct, owners = confounded(400, 16)
    inner = columns[:, 0]
    of_ones, of_many = (
        fitted_scoring({"reward": rewards}, correct, owners, logits=("reward",)).score(
            {"reward": rewards}
        )
        for rewards in (inner, mean + scale * inner)
    )
    np.testing.assert_allclose(of_many, of_ones, atol=2e-3)
    assert of_many.mean() == pytest.approx(correct.mean(), abs=2e-3)


def test_solutions_that_were_cut_off_score_lower() -> None:
    rng = np.random.default_rng(2)
    owners = np.repeat(np.arange(300), 8)
    finished = rng.random(len(owners)) < 0.7
    correct = rng.random(len(owners)) < np.where(finished, 0.6, 0.1)
    score = rng.random(len(owners))
    fitted = fitted_scoring({"score": score}, correct, owners, finished=finished)
    truth = np.log(0.6 / 0.4) - np.log(0.1 / 0.9)
    assert fitted.unfinished == pytest.approx(-truth, abs=0.5)


def test_a_single_pair_is_enough() -> None:
    fitted = fitted_scoring({"s": np.array([0.9, 0.2])}, np.array([True, False]), np.zeros(2, int))
    assert fitted.scores["s"] > 0


def test_a_figure_that_is_no_number_is_not_taken_for_nothing_to_learn() -> None:
    scores, questions = {"s": np.array([0.9, 0.2, 0.8, 0.3])}, np.array([0, 0, 1, 1])
    correct, logprob = np.array([True, False] * 2), np.array([-1.0, -2.0, nan, -1.0])
    with pytest.raises(ValueError, match="NaN"):
        fitted_scoring(scores, correct, questions, logprob=logprob)


def test_confidence_has_a_weight_where_every_solution_has_one() -> None:
    rng = np.random.default_rng(3)
    records = []
    for record in drawn(3, 300):
        run = record.independent
        read = [rng.normal(8 + 2 * right, 1) for right in run.correct]
        samples = tuple(replace(s, confidence=c) for s, c in zip(run.samples, read, strict=True))
        records.append(replace(record, independent=replace(run, samples=samples)))
    # Two normal distributions of variance 1 whose means differ by 2 have log-odds of slope 2.
    assert fit_scoring(records).confidence == pytest.approx(2.0, abs=0.3)

    unread = replace(records[0].independent.samples[0], confidence=nan)
    run = records[0].independent
    records[0] = replace(records[0], independent=replace(run, samples=(unread, *run.samples[1:])))
    assert fit_scoring(records).confidence == 0
