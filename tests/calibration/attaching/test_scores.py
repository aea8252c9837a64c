"""Logged scores under the verifier's names."""

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.attaching.scores import verifier_scoring
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.fitting.log_scoring import fit_log_scoring, log_scores
from predictors.scoring import Scoring
from runtime.verifiers.base import all_aggregations


def scoring(*names: str, logits: tuple[str, ...] = ()) -> Scoring:
    return Scoring(scores={name: 1.0 + i for i, name in enumerate(names)}, logits=logits)


def test_a_verifiers_step_scores_make_the_score_that_the_log_had() -> None:
    rng = np.random.default_rng(0)
    steps = rng.random((30, 8, 3))
    answer = np.where(rng.random((30, 8)) < steps[..., 2], 0, 1)
    each = [[all_aggregations(sample) for sample in question] for question in steps.tolist()]
    values = {
        f"prm.{how}": np.array([[sample[how] for sample in question] for question in each])
        for how in ("last", "min", "product", "mean")
    }
    tokens = rng.integers(5, 50, answer.shape).astype(float)
    log = Log("made", "0", answer, LoggedScores(values), tokens, 0, logprob=-tokens / 3)
    fitted = fit_log_scoring(log)
    assert fitted is not None
    logged = fitted.scoring
    found = verifier_scoring(logged, {})
    assert found.notes == ()
    assert set(found.scoring.scores) == {"last", "min", "product", "mean"}
    expected = log_scores(logged, log)
    for q, i in ((0, 0), (3, 7), (29, 2)):
        score = found.scoring.score(
            all_aggregations(steps[q, i].tolist()), -tokens[q, i] / 3, tokens[q, i]
        )
        assert float(score) == expected[q, i]


def test_names_say_the_aggregation_and_guesses_are_said() -> None:
    logged = scoring("prm.last", "score_min", "score_prod", "PRM-avg")
    found = verifier_scoring(logged, {})
    assert found.scoring.scores == {"last": 1.0, "min": 2.0, "product": 3.0, "mean": 4.0}
    assert found.notes == (
        "score_min is taken for the min of the verifier's step scores",
        "score_prod is taken for the product of the verifier's step scores",
        "PRM-avg is taken for the mean of the verifier's step scores",
    )


def test_a_name_that_says_nothing_must_be_given() -> None:
    logged = scoring("score", "score_min")
    with pytest.raises(InputError, match="--scores score=last"):
        verifier_scoring(logged, {})
    assert verifier_scoring(logged, {"score": "last"}).scoring.scores == {"last": 1.0, "min": 2.0}
    # What is given is taken, whatever the name says.
    found = verifier_scoring(logged, {"score": "min", "score_min": "last"})
    assert found.scoring.scores == {"min": 1.0, "last": 2.0}
    with pytest.raises(InputError, match="min"):
        verifier_scoring(scoring("min"), {})


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"best": "last"}, "that have a weight are: score, score_min"),
        ({"score": "first"}, "score must be one of last, min, product, mean"),
        ({"score": "min"}, "score is min already"),
    ],
)
def test_names_that_do_not_fit_the_log_are_refused(named: dict[str, str], what: str) -> None:
    with pytest.raises(InputError, match=what):
        verifier_scoring(scoring("score", "score_min"), named)


def test_log_odds_become_those_of_the_verifiers_probability() -> None:
    logged = scoring("reward", logits=("reward",))
    found = verifier_scoring(logged, {"reward": "last"})
    assert "log-odds of the verifier's probability" in found.notes[0]
    for reward in (-3.0, 0.2, 5.0):
        probability = 1 / (1 + np.exp(-reward))
        assert float(found.scoring.score({"last": probability})) == pytest.approx(
            float(logged.score({"reward": reward}))
        )
    with pytest.raises(InputError, match="the product of log-odds cannot be computed"):
        verifier_scoring(logged, {"reward": "product"})


def test_scores_without_weight_are_left_out() -> None:
    logged = Scoring(scores={"score": 0.0, "score_min": 2.0}, log_tokens=-0.5)
    found = verifier_scoring(logged, {}).scoring
    assert found == Scoring(scores={"min": 2.0}, log_tokens=-0.5)


def test_where_votes_were_counted_every_solution_scores_one() -> None:
    found = verifier_scoring(None, {}).scoring
    assert float(found.score({"last": 0.1}, -3.0, 7, False)) == 1.0
