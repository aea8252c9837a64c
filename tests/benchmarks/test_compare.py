"""Comparing regressors of difficulty: the figures, the folds, and who should win."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from allocator.errors import InputError
from allocator.plan import Plan
from benchmarks.allocation.predictors import Compared, PromptInputs, compare, figures, held_out
from calibration.replay.curves import resamples
from calibration.replay.outcomes import Outcome
from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor
from predictors.prompt import PROMPT_FEATURE_NAMES

PROMPTS, REPLICATES = 60, 3


class Made:
    """Prompts whose difficulty one feature tells, the better the more pilots there are."""

    prompts, replicates = PROMPTS, REPLICATES

    def __init__(self, known: bool = True) -> None:
        rng = np.random.default_rng(0)
        self.pass_at_1_by_prompt = rng.random(PROMPTS)
        self._known = known

    def features(self, pilots: int) -> np.ndarray:
        rng = np.random.default_rng(pilots)
        found = rng.normal(size=(PROMPTS, REPLICATES, len(FEATURE_NAMES)))
        noise = rng.normal(0, 0.3 / np.sqrt(pilots), (PROMPTS, REPLICATES))
        found[..., 0] = self.pass_at_1_by_prompt[:, None] + noise
        if not self._known:
            found[..., :5] = np.nan
        return found

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        raise NotImplementedError


def named(rows: list[Compared]) -> dict[tuple[int, str, str], Compared]:
    return {(row.pilots, row.inputs, row.regressor): row for row in rows}


@pytest.fixture(scope="module")
def rows() -> dict[tuple[int, str, str], Compared]:
    made = Made()
    rng = np.random.default_rng(5)
    states = np.outer(made.pass_at_1_by_prompt, rng.normal(size=16)) + rng.normal(
        0, 0.3, (PROMPTS, 16)
    )
    surface = rng.normal(size=(PROMPTS, len(PROMPT_FEATURE_NAMES)))
    return named(compare(made, (0, 1, 8), PromptInputs(surface, states), shuffles=2))


@pytest.mark.slow
def test_a_row_for_each(rows: dict[tuple[int, str, str], Compared]) -> None:
    of_pilots = {"LightGBM", "ridge", "random forest", "mean score"}
    assert {r for p, i, r in rows if (p, i) == (8, "pilots")} == of_pilots
    assert {r for p, i, r in rows if p == 0} == of_pilots - {"mean score"}
    assert {i for p, i, _ in rows if p == 0} == {"prompt", "prompt and state"}
    for row in rows.values():
        for estimate in (row.spearman, row.rmse, row.spearman_gain, row.rmse_gain):
            assert estimate.low <= estimate.value <= estimate.high
        if row.regressor == "LightGBM":
            assert (row.spearman_gain.low, row.rmse_gain.high) == (0, 0)


@pytest.mark.slow
def test_who_knows_more_does_better(rows: dict[tuple[int, str, str], Compared]) -> None:
    for regressor in ("LightGBM", "ridge", "random forest", "mean score"):
        few, many = rows[1, "pilots", regressor], rows[8, "pilots", regressor]
        assert many.rmse.value < few.rmse.value
        assert many.spearman.value > few.spearman.value
    # All is linear here, and the state tells what the surface does not.
    assert rows[0, "prompt and state", "ridge"].spearman.value > 0.6
    assert abs(rows[0, "prompt", "ridge"].spearman.value) < 0.4
    assert rows[0, "prompt and state", "ridge"].rmse.value < rows[0, "prompt", "ridge"].rmse.value


def test_figures_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    measured = rng.random(50)
    predicted = np.clip(measured[:, None] + rng.normal(0, 0.2, (50, 3)), 0, 1)
    draws = resamples(50)
    spearman, rmse, error = figures(predicted, measured, draws)
    each = [spearmanr(predicted[:, i], measured).statistic for i in range(3)]
    assert spearman[0] == pytest.approx(np.mean(each))
    assert rmse[0] == pytest.approx(np.sqrt(np.mean((predicted - measured[:, None]) ** 2)))
    again = predicted[draws[7]], measured[draws[7]]
    assert rmse[7] == pytest.approx(np.sqrt(np.mean((again[0] - again[1][:, None]) ** 2)))
    assert spearman[7] == pytest.approx(spearmanr(again[0][:, 0], again[1]).statistic, abs=0.05)
    assert figures(measured[:, None], measured, draws)[2][0] == pytest.approx(0, abs=1e-12)
    off = figures(np.clip(measured[:, None] + 2, 0, 1), measured, draws)[2]
    assert off[0] == pytest.approx(1 - measured.mean())
    assert 0 < error[0] < 0.2


def test_no_prompt_is_predicted_by_what_saw_it() -> None:
    # Features that tell prompts apart and say nothing of others: only leakage could predict.
    rng = np.random.default_rng(1)
    features = np.repeat(rng.normal(size=(40, 1, len(FEATURE_NAMES))), 4, axis=1)
    pass_at_1 = rng.random(40)
    found = held_out(features, pass_at_1, DifficultyPredictor, shuffles=2)
    assert found.shape == (40, 8)
    assert abs(np.corrcoef(found.mean(axis=1), pass_at_1)[0, 1]) < 0.45
    assert not np.allclose(found[:, :4], found[:, 4:])  # divided otherwise


@pytest.mark.slow
def test_features_that_a_log_lacks() -> None:
    rows = named(compare(Made(known=False), (2,), shuffles=1))
    assert all(np.isfinite(row.rmse.value) for row in rows.values())
    assert rows[2, "pilots", "mean score"].spearman.value == pytest.approx(0, abs=0.3)


def test_no_pilots_need_prompts() -> None:
    with pytest.raises(InputError, match="known of the prompts alone"):
        compare(Made())
