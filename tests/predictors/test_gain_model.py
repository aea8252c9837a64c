"""What more solutions gain, fitted on simulated adaptive runs."""

from pathlib import Path

import numpy as np
import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.schedule import Schedule, Stage, schedule_of
from calibration.replay.adaptive_run import AdaptiveRuns
from predictors.gain_model import COLUMNS, GainEstimator, GainModel
from predictors.vote_state import VOTE_STATE_NAMES
from tests.support.adaptive import made_runs

SCHEDULE = schedule_of(16)
KINDS = ["settled", "open", "hopeless"] * 20


def fitted(adaptive_runs: AdaptiveRuns, schedule: Schedule = SCHEDULE) -> GainModel:
    states = adaptive_runs.states.reshape(-1, *adaptive_runs.states.shape[2:])
    return (
        GainEstimator(schedule).fit(states, adaptive_runs.correct.reshape(len(states), -1)).model_
    )


@pytest.fixture(scope="module")
def gain_model() -> GainModel:
    return fitted(made_runs(SCHEDULE, KINDS, 6))


def test_open_states_gain_and_settled_and_hopeless_ones_little(gain_model: GainModel) -> None:
    fresh = made_runs(SCHEDULE, KINDS, 6, seed=1)
    for stage in (0, 1, 3):
        promised = gain_model.gains(SCHEDULE, stage, fresh.states[:, :, stage].reshape(360, -1))[
            :, -1
        ]
        gained = (fresh.correct[:, :, -1] - fresh.correct[:, :, stage]).ravel()
        kinds = np.repeat(KINDS, 6)
        settled, open_, hopeless = (
            (promised[kinds == kind].mean(), gained[kinds == kind].mean())
            for kind in ("settled", "open", "hopeless")
        )
        assert settled[0] == pytest.approx(settled[1], abs=0.04)
        assert open_[0] == pytest.approx(open_[1], abs=0.2)
        assert hopeless[0] < 0.12
        assert open_[0] > 1.5 * max(settled[0], hopeless[0])


def test_gains_are_never_negative_and_grow_ever_more_slowly_by_stage(
    gain_model: GainModel,
) -> None:
    fresh = made_runs(SCHEDULE, KINDS, 2, seed=2)
    for stage in range(len(SCHEDULE.stages)):
        found = gain_model.gains(SCHEDULE, stage, fresh.states[:, :, stage].reshape(120, -1))
        assert found.shape == (120, len(SCHEDULE.stages) - stage - 1)
        assert np.all(found >= 0)
        assert np.all(np.diff(found, axis=1) >= 0)
        costs = np.array(SCHEDULE.costs[stage:], dtype=float)
        slopes = np.diff(np.column_stack([np.zeros(120), found]), axis=1) / np.diff(costs)
        assert np.all(np.diff(slopes, axis=1) <= 1e-12)


def test_columns_that_are_always_the_same_do_no_harm() -> None:
    # A log without scores: every vote weighs one.
    adaptive_runs = made_runs(SCHEDULE, KINDS, 6)
    names = list(VOTE_STATE_NAMES)
    adaptive_runs.states[..., names.index("score_mean")] = 1
    for best in ("leader_best_score", "other_best_score"):
        adaptive_runs.states[..., names.index(best)] = 1
    gain_model = fitted(adaptive_runs)
    assert np.all(np.isfinite(gain_model.weights))
    gains = gain_model.gains(SCHEDULE, 3, adaptive_runs.states[:, :, 3].reshape(360, -1))[:, -1]
    kinds = np.repeat(KINDS, 6)
    assert gains[kinds == "settled"].mean() < 0.5 * gains[kinds == "open"].mean()


def test_a_search_ahead_is_told_from_more_of_the_same() -> None:
    # All that is ever gained is gained by the search.
    search = Plan(strategy="beam_search", n=2, beam_width=2)
    schedule = schedule_of(4, (search,), after=2)
    assert schedule.costs == (1, 2, 4, 5, 6)
    adaptive_runs = made_runs(schedule, ["open"] * 30, 4)
    adaptive_runs.correct[..., :2], adaptive_runs.correct[..., 2:] = 0.0, 1.0
    gain_model = fitted(adaptive_runs, schedule)
    before, after = (
        gain_model.gains(schedule, stage, adaptive_runs.states[:, :, stage].reshape(120, -1)).mean(
            axis=0
        )
        for stage in (1, 2)
    )
    assert before[0] > 0.5
    assert np.all(after < 0.2)
    # One sample more is no search.
    assert (
        gain_model.gains(schedule, 0, adaptive_runs.states[:, :, 0].reshape(120, -1))[:, 0].mean()
        < 0.2
    )


def test_where_nothing_is_gained_nothing_is_promised() -> None:
    adaptive_runs = made_runs(SCHEDULE, ["settled"] * 20, 3)
    adaptive_runs.correct[...] = 1
    gain_model = fitted(adaptive_runs)
    assert gain_model.gains(SCHEDULE, 0, adaptive_runs.states[:, 0, 0]).max() < 0.01


def test_one_stage_has_no_gains() -> None:
    schedule = Schedule(stages=(Stage(samples=1),))
    with pytest.raises(InputError, match="must have two stages"):
        GainEstimator(schedule).fit(np.ones((4, 1, len(VOTE_STATE_NAMES))), np.ones((4, 1)))


def test_a_gain_model_survives_saving(gain_model: GainModel, tmp_path: Path) -> None:
    path = tmp_path / "gain_model.json"
    gain_model.save(path)
    assert GainModel.load(path) == gain_model
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_gain_model_is_refused(gain_model: GainModel, tmp_path: Path) -> None:
    path = tmp_path / "gain_model.json"
    with pytest.raises(InputError, match="no such file; make one"):
        GainModel.load(path)
    few = gain_model.model_copy(update={"weights": (0.0,) * (len(COLUMNS) - 1)})
    flat = gain_model.model_copy(update={"rho": 0.0})
    for content in (b"{", b"\xff", *(p.model_dump_json().encode() for p in (few, flat))):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"damaged.*calibrate again"):
            GainModel.load(path)
