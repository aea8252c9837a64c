"""Scores made of the verifier's and of log-probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.fitting.scoring import fit_scoring
from calibration.sampling.collect import PromptRecord, Run
from predictors.sample import Sample
from runtime.verifiers.scoring import VERIFIER_ALONE, Scoring
from tests.support.samples import make_sample


@given(score=st.floats(1e-5, 1 - 1e-5), logprob=st.floats(-1e4, 0))
def test_without_weights_the_score_is_the_verifiers(score: float, logprob: float) -> None:
    assert VERIFIER_ALONE.score(score, logprob) == pytest.approx(score, rel=1e-6)


@given(
    score=st.floats(0, 1),
    logprob=st.floats(-1e9, 0),
    weights=st.tuples(*[st.floats(-50, 50)] * 3),
)
def test_a_score_is_a_probability(
    score: float, logprob: float, weights: tuple[float, float, float]
) -> None:
    intercept, verifier, sqrt_nll = weights
    scoring = Scoring(intercept=intercept, verifier=verifier, sqrt_nll=sqrt_nll)
    assert 0 <= scoring.score(score, logprob) <= 1


def drawn(seed: int, prompts: int) -> list[PromptRecord]:
    """Solutions that are correct with odds made of score and log-probability by known weights."""
    rng = np.random.default_rng(seed)
    truth = Scoring(intercept=2.0, verifier=0.5, sqrt_nll=-1.5)
    records = []
    for number in range(prompts):
        samples: list[Sample] = []
        correct: list[bool] = []
        for _ in range(8):
            score, logprob = rng.uniform(0.05, 0.95), -rng.exponential(3)
            samples.append(make_sample("1", score, logprob=logprob))
            correct.append(bool(rng.random() < truth.score(score, logprob)))
        records.append(
            PromptRecord(str(number), "1", 3, Run(tuple(samples), tuple(correct), 0), {})
        )
    return records


def test_the_fit_finds_the_weights() -> None:
    fitted = fit_scoring(drawn(0, 2000))
    assert fitted.intercept == pytest.approx(2.0, abs=0.2)
    assert fitted.verifier == pytest.approx(0.5, abs=0.1)
    assert fitted.sqrt_nll == pytest.approx(-1.5, abs=0.15)


def test_with_every_solution_right_the_verifier_stands() -> None:
    records = drawn(0, 3)
    right = [
        PromptRecord(r.prompt, r.gold, 3, Run(r.independent.samples, (True,) * 8, 0), {})
        for r in records
    ]
    assert fit_scoring(right) == VERIFIER_ALONE
