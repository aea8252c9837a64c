"""Difficulty as a distribution: coverage, order, and files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.errors import InputError
from predictors.distribution import LEVELS, DifficultyDistribution, DistributionEstimator

REPLICATES = 4


def pairs(prompts: int, seed: int, ends: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions with noise of their own a replicate; a share of pass@1 at just 0 or 1."""
    rng = np.random.default_rng(seed)
    measured = rng.beta(0.8, 0.6, prompts)
    measured = np.where(rng.random(prompts) < ends, measured.round(), measured)
    shared = measured + rng.normal(0, 0.1 + 0.2 * measured * (1 - measured), prompts)
    predicted = np.clip(shared[:, None] + rng.normal(0, 0.05, (prompts, REPLICATES)), 0, 1)
    return (
        predicted.ravel(),
        np.repeat(measured, REPLICATES),
        np.repeat(np.arange(prompts), REPLICATES),
    )


@pytest.fixture(scope="module")
def fitted() -> DifficultyDistribution:
    return DistributionEstimator().fit(*pairs(200, 0)).distribution_


@pytest.mark.slow
@pytest.mark.parametrize("ends", [0.0, 0.5])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_intervals_hold_what_they_say_of_new_prompts(level: float, ends: float) -> None:
    covered, widths = [], []
    for seed in range(10):
        distribution = DistributionEstimator().fit(*pairs(100, seed, ends)).distribution_
        predicted, measured, _ = pairs(500, 100 + seed, ends)
        low, high = distribution.interval(predicted, level).T
        covered.append(np.mean((low <= measured) & (measured <= high)))
        widths.append(np.mean(high - low))
    assert level - 0.02 < np.mean(covered) < level + 0.05
    assert np.mean(widths) < 0.75


def test_few_prompts_exclude_nothing() -> None:
    # Of 9 prompts no one knows what happens in less than one of ten.
    few = DistributionEstimator().fit(*pairs(9, 0)).distribution_
    assert few.interval([0.1, 0.5, 0.9], 0.95).tolist() == [[0, 1]] * 3
    assert few.interval(0.5, 0.5)[1] < 1


@pytest.mark.parametrize("level", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_right_or_wrong_alone_is_within_the_interval(level: float) -> None:
    # Greedy samples have pass@1 of 0 or 1; most prompts are as great as the greatest of their like.
    rng = np.random.default_rng(0)
    measured = (rng.random(1400) < 0.5).astype(float)
    predicted = 0.1 + 0.8 * measured + rng.uniform(-0.1, 0.1, 1400)
    fitted = DistributionEstimator().fit(predicted[:400], measured[:400], np.arange(400))
    low, high = fitted.distribution_.interval(predicted[400:], level).T
    assert np.mean((low <= measured[400:]) & (measured[400:] <= high)) >= level
    assert np.mean(high - low) < 0.2


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_where_all_are_alike_so_is_the_interval(value: float) -> None:
    predicted = np.linspace(0, 1, 100)
    alike = DistributionEstimator().fit(predicted, np.full(100, value), np.arange(100))
    low, high = alike.distribution_.interval(0.3)
    assert low == value <= high


def test_a_wrong_predictor_is_corrected() -> None:
    predicted, measured, prompts = pairs(400, 0)
    shrunk = 0.4 + 0.2 * predicted
    distribution = DistributionEstimator().fit(shrunk, measured, prompts).distribution_
    fresh, truth, _ = pairs(400, 1)
    error = np.abs(distribution.mean(0.4 + 0.2 * fresh) - truth).mean()
    assert error < 0.7 * np.abs(0.4 + 0.2 * fresh - truth).mean()


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=5), st.lists(st.sampled_from([*LEVELS, 0.33]))
)
def test_quantiles_ascend(
    fitted: DifficultyDistribution, predicted: list[float], levels: list[float]
) -> None:
    found = fitted.quantiles(np.sort(predicted), np.sort(levels))
    assert found.shape == (len(predicted), len(levels))
    assert np.all(np.diff(found, axis=0) >= -1e-12)
    assert np.all(np.diff(found, axis=1) >= -1e-12)
    assert np.all(np.diff(fitted.mean(np.sort(predicted))) >= 0)
    low, high = fitted.interval(predicted, 0.8).T
    middle = fitted.quantiles(predicted, 0.5)
    assert np.all((low <= middle) & (middle <= high))


def test_replicates_weigh_as_much_as_their_prompt() -> None:
    predicted, measured, prompts = pairs(60, 0)
    rows = np.repeat(np.arange(len(prompts)), np.where(prompts < 30, 5, 1))
    once = DistributionEstimator().fit(predicted, measured, prompts).distribution_
    often = (
        DistributionEstimator().fit(predicted[rows], measured[rows], prompts[rows]).distribution_
    )
    at = np.linspace(0, 1, 50)
    assert np.abs(once.interval(at) - often.interval(at)).mean() < 0.01
    assert np.abs(once.mean(at) - often.mean(at)).max() < 0.01


def test_it_survives_saving(fitted: DifficultyDistribution, tmp_path: Path) -> None:
    fitted.save(tmp_path / "distribution.json")
    assert DifficultyDistribution.load(tmp_path / "distribution.json") == fitted


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-40],
        lambda text: "[]",
        lambda text: text.replace('"schema_version":1', '"schema_version":2'),
        lambda text: text.replace('"knots":[0.0', '"knots":[0.5'),
        lambda text: text.replace('"means":[', '"means":[0.0,'),
        lambda text: text.replace("1.0]]", "0.0]]"),
    ],
)
def test_a_damaged_file_is_refused(
    fitted: DifficultyDistribution, tmp_path: Path, damage: object
) -> None:
    path = tmp_path / "distribution.json"
    with pytest.raises(InputError, match="ttc calibrate"):
        DifficultyDistribution.load(path)
    fitted.save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match="calibrate again"):
        DifficultyDistribution.load(path)


def test_unusable_input_is_refused(fitted: DifficultyDistribution) -> None:
    with pytest.raises(InputError, match="two prompts"):
        DistributionEstimator().fit([0.5, 0.6], [1, 1], [3, 3])
    with pytest.raises(InputError, match="must be between 0 and 1"):
        fitted.quantiles(0.5, [1.5])
    with pytest.raises(InputError, match="must be between 0 and 1"):
        fitted.interval(0.5, 2.0)
