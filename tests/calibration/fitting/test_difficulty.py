"""What a number of pilots tells about difficulty: fitted, cut into bins, kept in files."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.bins import bin_of
from allocator.errors import InputError
from calibration.fitting.difficulty import MIN_IN_BIN, edges_of, fit_difficulty
from predictors.difficulty import DifficultyModel
from predictors.distribution import DistributionEstimator
from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor
from predictors.prompt import PROMPT_FEATURE_NAMES, PromptProbe


@dataclass
class Told:
    """Outcomes whose features tell difficulty, or nothing: all that fitting difficulty looks at."""

    by_prompt: np.ndarray
    noise: float
    states: np.ndarray | None = None
    replicates: int = 3

    @property
    def prompts(self) -> int:
        return len(self.by_prompt)

    def pass_at_1(self, pilots: int) -> np.ndarray:
        return np.repeat(self.by_prompt[:, None], self.replicates, axis=1)

    def features(self, pilots: int) -> np.ndarray:
        names = FEATURE_NAMES if pilots else PROMPT_FEATURE_NAMES
        rng = np.random.default_rng(pilots)
        found = rng.normal(size=(self.prompts, self.replicates, len(names)))
        found[..., 0] = self.by_prompt[:, None] + self.noise * found[..., 0]
        return found


def told(noise: float, prompts: int = 120, **others: Any) -> Any:
    return Told(np.random.default_rng(9).beta(0.7, 0.7, prompts), noise, **others)


@pytest.mark.parametrize(("pilots", "kind"), [(0, PromptProbe), (2, DifficultyPredictor)])
def test_difficulty_is_found_where_it_is_told(pilots: int, kind: type) -> None:
    outcomes = told(noise=0.1)
    known = fit_difficulty(outcomes, pilots, 3)
    assert known.pilots == pilots
    assert isinstance(known.model.predictor, kind)
    assert known.predicted.shape == (360,)
    assert known.rank_correlation > 0.85
    assert len(known.edges) == 2
    held = np.bincount(bin_of(known.edges, known.predicted))
    assert held.min() > 0.9 * held.max()
    assert known.model.distribution.prompts == 120


@pytest.mark.parametrize("pilots", [0, 2])
def test_predictions_of_a_prompt_never_saw_it(pilots: int) -> None:
    # Features that name the prompt and say nothing else: only what has seen it could predict it.
    outcomes = told(noise=0.0, prompts=60)
    rng = np.random.default_rng(1)
    names = FEATURE_NAMES if pilots else PROMPT_FEATURE_NAMES
    fixed = np.repeat(rng.normal(size=(60, 1, len(names))), 3, axis=1)
    outcomes.features = lambda _: fixed
    assert abs(fit_difficulty(outcomes, pilots, 3).rank_correlation) < 0.35


def test_without_pilots_the_models_own_state_is_read() -> None:
    plain = told(noise=9.0)
    states = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    states[:, 3] = plain.by_prompt
    without, read = (fit_difficulty(o, 0, 3) for o in (plain, told(noise=9.0, states=states)))
    assert read.rank_correlation > without.rank_correlation + 0.5
    assert len(read.model.predictor.coef_) == len(PROMPT_FEATURE_NAMES) + 5


def test_the_probe_sees_a_prompt_once_however_often_it_is_replayed() -> None:
    # With copies of the prompt that it leaves out, leave-one-out chooses the smallest penalty.
    rng = np.random.default_rng(0)
    states = rng.normal(size=(150, 120)).astype(np.float32)
    pass_at_1 = np.clip(0.5 + 0.1 * states[:, :4].sum(1), 0, 1)
    alone: Any = Told(pass_at_1, 9.0, states, replicates=1)
    replayed: Any = replace(alone, replicates=16)
    surface = alone.features(0)
    replayed.features = lambda _: np.repeat(surface, 16, axis=1)
    once, often = (fit_difficulty(outcomes, 0, 3) for outcomes in (alone, replayed))
    np.testing.assert_allclose(often.predicted, np.repeat(once.predicted, 16))
    np.testing.assert_allclose(often.model.predictor.coef_, once.model.predictor.coef_)
    assert often.rank_correlation == pytest.approx(once.rank_correlation)
    assert once.rank_correlation > 0.3


@pytest.mark.parametrize(("values", "bins"), [(1, 1), (2, 2), (4, 4)])
def test_no_edge_parts_what_the_predictor_cannot_tell_apart(values: int, bins: int) -> None:
    # As with answers alone, of which a few pilots agree or do not: folds differ, features do not.
    pass_at_1 = np.random.default_rng(3).beta(0.7, 0.7, 300)
    outcomes: Any = Told(pass_at_1, noise=0.0, replicates=4)
    few = np.zeros((300, 4, len(FEATURE_NAMES)))
    few[..., 0] = np.floor(pass_at_1 * values)[:, None] / values
    outcomes.features = lambda _: few
    known = fit_difficulty(outcomes, 2, 5)
    served = known.model.predictor.predict(few.reshape(1200, -1))
    assert len(known.edges) == bins - 1
    np.testing.assert_array_equal(bin_of(known.edges, served), bin_of(known.edges, known.predicted))
    assert (known.rank_correlation > 0.7) if values > 1 else (known.rank_correlation == 0)


def test_where_all_prompts_are_alike_nothing_is_told() -> None:
    outcomes = Told(np.ones(40), noise=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        known = fit_difficulty(outcomes, 2, 5)
    assert known.rank_correlation == 0
    assert known.edges == ()


@given(
    st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=80),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_no_bin_is_too_small_unless_it_is_the_only_one(
    difficulty: list[float], n_bins: int, replicates: int
) -> None:
    entries = np.repeat(difficulty, replicates)
    edges = edges_of(entries, n_bins, replicates)
    assert len(edges) < n_bins
    assert list(edges) == sorted(set(edges), reverse=True)
    held = np.bincount(bin_of(edges, entries), minlength=len(edges) + 1)
    assert len(held) == 1 or held.min() >= MIN_IN_BIN * replicates


def test_small_bins_join_their_smaller_neighbour() -> None:
    # 30 easy, 4 and 12 in between, 14 hard: the 4 join the 12.
    values = np.repeat([0.9, 0.6, 0.5, 0.1], [30, 4, 12, 14])
    edges = edges_of(values, 60, 1)
    assert np.bincount(bin_of(edges, values)).tolist() == [30, 16, 14]


def made(pilots: int) -> DifficultyModel:
    rng = np.random.default_rng(pilots)
    names = FEATURE_NAMES if pilots else PROMPT_FEATURE_NAMES
    features, measured = rng.normal(size=(80, len(names))), rng.random(80)
    predictor = (DifficultyPredictor() if pilots else PromptProbe()).fit(features, measured)
    distribution = (
        DistributionEstimator().fit(rng.random(80), measured, np.arange(80)).distribution_
    )
    return DifficultyModel(predictor, distribution)


def test_models_survive_saving(tmp_path: Path) -> None:
    saved = {pilots: made(pilots) for pilots in (0, 2, 16)}
    for pilots in (16, 0, 2):
        saved[pilots].save(tmp_path, pilots)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("difficulty-0.json", "difficulty-0.safetensors"),
        *("difficulty-2.json", "difficulty-2.txt", "difficulty-16.json", "difficulty-16.txt"),
    }
    (tmp_path / "difficulty-notes.json").write_text("{}")  # somebody else's
    loaded = DifficultyModel.load_all(tmp_path)
    assert list(loaded) == [0, 2, 16]
    for pilots, model in loaded.items():
        assert type(model.predictor) is type(saved[pilots].predictor)
        assert model.distribution == saved[pilots].distribution
        names = FEATURE_NAMES if pilots else PROMPT_FEATURE_NAMES
        fresh = np.random.default_rng(7).normal(size=(20, len(names)))
        np.testing.assert_array_equal(
            model.predictor.predict(fresh), saved[pilots].predictor.predict(fresh)
        )


def test_missing_and_damaged_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no difficulty model; calibrate again"):
        DifficultyModel.load_all(tmp_path)
    made(2).save(tmp_path, 2)
    with pytest.raises(InputError, match=r"difficulty-4\.txt.*no such file"):
        DifficultyModel.load(tmp_path, 4)
    (tmp_path / "difficulty-2.txt").write_text("not a model")
    with pytest.raises(InputError, match="damaged"):
        DifficultyModel.load_all(tmp_path)
    (tmp_path / "difficulty-2.txt").unlink()
    with pytest.raises(InputError, match=r"difficulty-2\.txt.*no such file"):
        DifficultyModel.load_all(tmp_path)
