"""Features, the learned predictor and oracle difficulty."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.errors import InputError
from predictors.features import FEATURE_NAMES, pilot_features
from predictors.learned import DifficultyPredictor
from predictors.oracle import oracle_pass_at_1
from tests.support.samples import make_sample


def feature(name: str, values: np.ndarray) -> float:
    return float(values[FEATURE_NAMES.index(name)])


def test_features_worked_by_hand() -> None:
    pilots = [
        make_sample("7", 0.9),
        make_sample("7", 0.7),
        make_sample("3", 0.1),
        make_sample(None, 0.3),
    ]
    values = pilot_features(5, pilots)
    assert feature("score_mean", values) == pytest.approx(0.5)
    assert feature("agreement", values) == pytest.approx(0.5)
    assert feature("unanswered_share", values) == pytest.approx(0.25)
    assert feature("top_answer_score_share", values) == pytest.approx(1.6 / 2.0)
    assert feature("lowest_step_score_mean", values) == pytest.approx((0.5 + 0.5 + 0.1 + 0.3) / 4)
    assert feature("largest_score_drop_mean", values) == pytest.approx((-0.4 - 0.2 + 0.4 + 0.2) / 4)
    assert feature("tokens_mean", values) == 3
    assert feature("token_logprob_mean", values) == pytest.approx(-0.333)  # three digits
    assert feature("prompt_tokens", values) == 5


def test_features_of_one_pilot_are_finite() -> None:
    assert np.all(np.isfinite(pilot_features(3, [make_sample(None, 0.0, steps=((1,),))])))


def test_features_need_a_pilot() -> None:
    with pytest.raises(InputError, match="at least one pilot"):
        pilot_features(3, [])


def synthetic(prompts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that carry difficulty noisily in their first column, and the difficulty."""
    rng = np.random.default_rng(seed)
    pass_at_1 = rng.beta(0.5, 0.5, prompts)
    features = rng.normal(size=(prompts, len(FEATURE_NAMES)))
    features[:, 0] = pass_at_1 + rng.normal(0, 0.15, prompts)
    return features, pass_at_1


def test_predictor_learns_and_generalises() -> None:
    features, pass_at_1 = synthetic(400, 0)
    fresh, truth = synthetic(400, 1)
    predicted = DifficultyPredictor().fit(features, pass_at_1).predict(fresh)
    assert np.corrcoef(predicted, truth)[0, 1] > 0.8
    assert np.all((predicted >= 0) & (predicted <= 1))
    assert abs(predicted.mean() - truth.mean()) < 0.06


def test_predictor_survives_saving(tmp_path: Path) -> None:
    features, pass_at_1 = synthetic(200, 0)
    fitted = DifficultyPredictor().fit(features, pass_at_1)
    fitted.save(tmp_path / "predictor.txt")
    loaded = DifficultyPredictor.load(tmp_path / "predictor.txt")
    assert np.array_equal(loaded.predict(features), fitted.predict(features))
    parts = loaded.explain(features[0])
    assert max(parts, key=lambda name: abs(parts[name])) == FEATURE_NAMES[0]


def test_a_damaged_predictor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictor.txt"
    with pytest.raises(InputError, match="ttc calibrate"):
        DifficultyPredictor.load(path)
    path.write_text("not a model")
    with pytest.raises(InputError, match="calibrate again"):
        DifficultyPredictor.load(path)


def test_oracle_pass_at_1() -> None:
    assert oracle_pass_at_1([[True, False], [True, True]]).tolist() == [0.5, 1.0]
    with pytest.raises(InputError, match="graded samples"):
        oracle_pass_at_1([True, False])


def test_noise_in_the_last_digits_leaves_features_as_they_are() -> None:
    # Scores and log-probabilities of batches composed otherwise differ by about a millionth.
    pilots = [make_sample(str(i % 3), 0.123 + 0.2 * i, logprob=-1.234 - i) for i in range(4)]
    noisy = [replace(p, score=p.score + 1e-6, logprob=p.logprob - 1e-6) for p in pilots]
    np.testing.assert_array_equal(pilot_features(5, pilots), pilot_features(5, noisy))
    assert not np.array_equal(
        pilot_features(5, pilots), pilot_features(5, [replace(p, score=0.5) for p in pilots])
    )
