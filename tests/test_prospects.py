"""What more solutions gain, fitted on made climbs."""

from pathlib import Path

import numpy as np
import pytest

from allocator.errors import InputError
from allocator.ladder import Ladder, Rung, ladder_of
from allocator.plan import Plan
from calibration.climb import Climbs
from predictors.progress import PROGRESS_NAMES
from predictors.prospects import COLUMNS, Prospects
from tests.climbing import made_climbs

LADDER = ladder_of(16)
KINDS = ["settled", "open", "hopeless"] * 20


def fitted(climbs: Climbs, ladder: Ladder = LADDER) -> Prospects:
    states = climbs.states.reshape(-1, *climbs.states.shape[2:])
    return Prospects.fit(ladder, states, climbs.correct.reshape(len(states), -1))


@pytest.fixture(scope="module")
def prospects() -> Prospects:
    return fitted(made_climbs(LADDER, KINDS, 6))


def test_open_states_gain_and_settled_and_hopeless_ones_little(prospects: Prospects) -> None:
    fresh = made_climbs(LADDER, KINDS, 6, seed=1)
    for rung in (0, 1, 3):
        promised = prospects.gains(LADDER, rung, fresh.states[:, :, rung].reshape(360, -1))[:, -1]
        gained = (fresh.correct[:, :, -1] - fresh.correct[:, :, rung]).ravel()
        kinds = np.repeat(KINDS, 6)
        settled, open_, hopeless = (
            (promised[kinds == kind].mean(), gained[kinds == kind].mean())
            for kind in ("settled", "open", "hopeless")
        )
        assert settled[0] == pytest.approx(settled[1], abs=0.04)
        assert open_[0] == pytest.approx(open_[1], abs=0.2)
        assert hopeless[0] < 0.12
        assert open_[0] > 1.5 * max(settled[0], hopeless[0])


def test_gains_are_never_negative_and_grow_with_the_rung_ever_more_slowly(
    prospects: Prospects,
) -> None:
    fresh = made_climbs(LADDER, KINDS, 2, seed=2)
    for rung in range(len(LADDER.rungs)):
        found = prospects.gains(LADDER, rung, fresh.states[:, :, rung].reshape(120, -1))
        assert found.shape == (120, len(LADDER.rungs) - rung - 1)
        assert np.all(found >= 0)
        assert np.all(np.diff(found, axis=1) >= 0)
        costs = np.array(LADDER.costs[rung:], dtype=float)
        slopes = np.diff(np.column_stack([np.zeros(120), found]), axis=1) / np.diff(costs)
        assert np.all(np.diff(slopes, axis=1) <= 1e-12)


def test_columns_that_are_always_the_same_do_no_harm() -> None:
    # A log without scores: every vote weighs one.
    climbs = made_climbs(LADDER, KINDS, 6)
    names = list(PROGRESS_NAMES)
    climbs.states[..., names.index("score_mean")] = 1
    for best in ("leader_best_score", "other_best_score"):
        climbs.states[..., names.index(best)] = 1
    prospects = fitted(climbs)
    assert np.all(np.isfinite(prospects.weights))
    gains = prospects.gains(LADDER, 3, climbs.states[:, :, 3].reshape(360, -1))[:, -1]
    kinds = np.repeat(KINDS, 6)
    assert gains[kinds == "settled"].mean() < 0.5 * gains[kinds == "open"].mean()


def test_a_search_ahead_is_told_from_more_of_the_same() -> None:
    # All that is ever gained is gained by the search.
    search = Plan(strategy="beam_search", n=2, beam_width=2)
    ladder = ladder_of(4, search, after=2)
    assert ladder.costs == (1, 2, 4, 5, 6)
    climbs = made_climbs(ladder, ["open"] * 30, 4)
    climbs.correct[..., :2], climbs.correct[..., 2:] = 0.0, 1.0
    prospects = fitted(climbs, ladder)
    before, after = (
        prospects.gains(ladder, rung, climbs.states[:, :, rung].reshape(120, -1)).mean(axis=0)
        for rung in (1, 2)
    )
    assert before[0] > 0.5
    assert np.all(after < 0.2)
    # One sample more is no search.
    assert prospects.gains(ladder, 0, climbs.states[:, :, 0].reshape(120, -1))[:, 0].mean() < 0.2


def test_where_nothing_is_gained_nothing_is_promised() -> None:
    climbs = made_climbs(LADDER, ["settled"] * 20, 3)
    climbs.correct[...] = 1
    prospects = fitted(climbs)
    assert prospects.gains(LADDER, 0, climbs.states[:, 0, 0]).max() < 0.01


def test_one_rung_has_no_prospects() -> None:
    ladder = Ladder(rungs=(Rung(samples=1),))
    with pytest.raises(InputError, match="there is nothing to gain on one rung"):
        Prospects.fit(ladder, np.ones((4, 1, len(PROGRESS_NAMES))), np.ones((4, 1)))


def test_prospects_survive_saving(prospects: Prospects, tmp_path: Path) -> None:
    path = tmp_path / "prospects.json"
    prospects.save(path)
    assert Prospects.load(path) == prospects
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_prospects_are_refused(prospects: Prospects, tmp_path: Path) -> None:
    path = tmp_path / "prospects.json"
    with pytest.raises(InputError, match="no such file; make one"):
        Prospects.load(path)
    few = prospects.model_copy(update={"weights": (0.0,) * (len(COLUMNS) - 1)})
    flat = prospects.model_copy(update={"rho": 0.0})
    for content in (b"{", b"\xff", *(p.model_dump_json().encode() for p in (few, flat))):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"damaged.*calibrate again"):
            Prospects.load(path)
