"""The scores of logged samples: how sharply votes are weighted by them."""

from dataclasses import replace

import numpy as np
import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.fitting.log_scoring import POWERS, fit_log_scoring, fit_scoring, log_scores
from calibration.replay.log_replay import LoggedReplay
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.scoring import Scoring
from tests.support.samples import make_sample

N = 16


def made(questions: int, seed: int, shares: tuple[float, ...], told: float) -> Log:
    """Samples of questions that are all alike.

    Args:
        questions: number of them.
        seed: of the samples.
        shares: of each answer, the right one first.
        told: how far the verifier's scores of right and wrong samples are apart, in log-odds.
    """
    rng = np.random.default_rng(seed)
    answer = rng.choice(len(shares), (questions, N), p=shares)
    logits = told * (answer == 0) + rng.normal(-2, 1, answer.shape)
    scores = LoggedScores({"score": 1 / (1 + np.exp(-logits))})
    return Log("made", "0", answer, scores, None, 0)


def accuracy(log: Log, scores: np.ndarray) -> float:
    plan = Plan(strategy="best_of_n", n=N)
    return float(LoggedReplay(log, scores, n_jobs=1).outcome(plan, 0).correct.mean())


def both(shares: tuple[float, ...], told: float) -> tuple[Scoring, Scoring, float]:
    """The scoring, the same without a power, and by how much it is the better on other samples."""
    found = fit_log_scoring(made(80, 0, shares, told))
    assert found is not None
    scoring = found.scoring
    plain = scoring.model_copy(update={"power": 1.0, "top": 1.0})
    fresh = made(300, 1, shares, told)
    sharp, before = (accuracy(fresh, log_scores(each, fresh)) for each in (scoring, plain))
    return scoring, plain, sharp - before


def test_where_few_good_samples_face_many_wrong_ones_votes_are_sharpened() -> None:
    shares, told = (0.15, 0.6, 0.15, 0.1), 1.5
    scoring, plain, gained = both(shares, told)
    assert scoring.power in POWERS
    assert gained > 0.05
    # The order of samples is the probabilities', and none scores more than 1.
    log = made(300, 1, shares, told)
    probability, score = log_scores(plain, log), log_scores(scoring, log)
    order = np.argsort(probability, axis=None)
    assert np.all(np.diff(score.ravel()[order]) > 0)  # the best, too, are told apart
    assert 0 <= score.min() <= score.max() <= 1
    assert score.max() == pytest.approx(1, abs=1e-6)


def test_votes_of_collected_solutions_are_sharpened_likewise() -> None:
    log = made(80, 0, (0.15, 0.6, 0.15, 0.1), 1.5)
    records = []
    for question, answers in enumerate(log.answer.tolist()):
        scores = log.scores.values["score"][question].tolist()
        each = zip(answers, scores, strict=True)
        samples = tuple(make_sample(str(answer), score, steps=((1,),)) for answer, score in each)
        run = PlanRun(samples, tuple(answer == 0 for answer in answers), 0)
        records.append(PromptRecord(str(question), "0", 3, run, ({},)))
    found, logged = fit_scoring(records), fit_log_scoring(log)
    assert logged is not None
    assert found.power == logged.scoring.power > 1
    assert found.scores["last"] == logged.scoring.scores["score"]
    # Where no verifier has scored them, and nothing else varies, every vote counts the same.
    assert fit_scoring(records, verified=False).power == 1


def test_a_lone_score_may_have_another_name_where_it_is_tested() -> None:
    found = fit_log_scoring(made(80, 0, (0.4, 0.3, 0.3), 1.5))
    assert found is not None
    log = made(30, 1, (0.4, 0.3, 0.3), 1.5)
    renamed = replace(log, scores=LoggedScores({"prm": log.scores.values["score"]}))
    np.testing.assert_array_equal(
        log_scores(found.scoring, renamed), log_scores(found.scoring, log)
    )
    as_odds = replace(log, scores=LoggedScores({"prm": log.scores.values["score"]}, ("prm",)))
    with pytest.raises(InputError, match="'prm': it holds log-odds in made"):
        log_scores(found.scoring, as_odds)


def test_where_votes_are_right_they_are_not_given_up_for_scores_that_tell_little() -> None:
    scoring, _, gained = both((0.4, 0.3, 0.2, 0.1), 0.3)
    assert scoring.power <= min(POWERS)
    assert gained > -0.01


def test_fingerprints_name_a_power_where_there_is_one() -> None:
    plain = Scoring(scores={"score": 1.0})
    assert plain.dumped().keys().isdisjoint({"power", "top"})
    assert plain.model_copy(update={"power": 4.0}).dumped()["power"] == 4
