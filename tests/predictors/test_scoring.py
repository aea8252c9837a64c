"""A solution's score from all that is known of it."""

from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.errors import InputError
from predictors.scoring import Scoring, alone


@given(score=st.floats(1e-5, 1 - 1e-5))
def test_alone_a_score_stands_as_it_is(score: float) -> None:
    assert alone("last").score({"last": score}) == pytest.approx(score, rel=1e-6)


def test_log_odds_alone_become_a_probability() -> None:
    found = alone("reward", logits=True).score({"reward": [-2.0, 0.0, 50.0]})
    assert found.tolist() == pytest.approx([1 / (1 + exp(2)), 0.5, 1.0])


def test_a_score_by_hand() -> None:
    scoring = Scoring(
        intercept=1.0,
        scores={"last": 0.5, "min": 2.0},
        sqrt_nll=-0.25,
        log_tokens=-0.1,
        unfinished=-3.0,
    )
    odds = 1 + 0.5 * log(3) + 2 * log(0.25) - 0.25 * sqrt(16) - 0.1 * log(100)
    scores = {"last": 0.75, "min": 0.2, "mean": 0.9}
    found = scoring.score(scores, -16.0, 100, True)
    assert float(found) == pytest.approx(1 / (1 + exp(-odds)))
    sure = scoring.model_copy(update={"confidence": 0.5}).score(scores, -16.0, 100, True, 6.0)
    assert float(sure) == pytest.approx(1 / (1 + exp(-odds - 3)))
    cut_off = scoring.score(scores, -16.0, 100, False)
    assert float(cut_off) == pytest.approx(1 / (1 + exp(3 - odds)))


def test_many_solutions_at_once_score_as_each_alone() -> None:
    scoring = Scoring(scores={"last": 0.7}, sqrt_nll=-1.0, log_tokens=0.2, unfinished=-1.0)
    last, nll = np.array([[0.1, 0.9], [0.5, 1.0]]), np.array([[-1.0, -2.0], [-3.0, 0.0]])
    tokens, finished = np.array([[5, 6], [7, 0]]), np.array([[True, False], [True, True]])
    found = scoring.score({"last": last}, nll, tokens, finished)
    for place in np.ndindex(2, 2):
        one = scoring.score({"last": last[place]}, nll[place], tokens[place], finished[place])
        assert found[place] == one


@given(
    score=st.floats(0, 1),
    logprob=st.floats(-1e9, 0),
    weights=st.tuples(*[st.floats(-50, 50)] * 3),
)
def test_a_score_is_a_probability(
    score: float, logprob: float, weights: tuple[float, float, float]
) -> None:
    intercept, weight, sqrt_nll = weights
    scoring = Scoring(intercept=intercept, scores={"last": weight}, sqrt_nll=sqrt_nll)
    assert 0 <= scoring.score({"last": score}, logprob) <= 1


def test_what_has_no_weight_need_not_be_given() -> None:
    scoring = Scoring(scores={"last": 1.0, "constant": 0.0})
    assert float(scoring.score({"last": 0.75})) == pytest.approx(0.75)
    assert float(scoring.score({"last": 0.75, "constant": float("nan")})) == pytest.approx(0.75)


def test_what_has_a_weight_must_be_given() -> None:
    with pytest.raises(InputError, match="'min'"):
        Scoring(scores={"min": 1.0}).score({"last": 0.5})
    with pytest.raises(InputError, match="logprob"):
        Scoring(sqrt_nll=1.0).score({})
    with pytest.raises(InputError, match="tokens"):
        Scoring(log_tokens=1.0).score({})
    with pytest.raises(InputError, match="finished"):
        Scoring(unfinished=1.0).score({})
    with pytest.raises(InputError, match="confidence"):
        Scoring(confidence=1.0).score({})
