"""From outcomes to an artifact's parts: what fitting chooses, on prompts made for it."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from allocator.flops import ModelSizes
from allocator.plan import CONSIDERED, Plan, plan_grid
from allocator.table import Fingerprint
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.fitting.difficulty import MIN_IN_BIN
from calibration.fitting.fit import fit, searches_needed
from calibration.from_logs import calibrate_from_logs
from calibration.replay.replay import Replay
from calibration.report.summarise import summarise
from calibration.report.summary import Summary
from tests.support.samples import graded_record

FINGERPRINT = Fingerprint(model="m", verifier="v", answers="math", sampling={})


def test_pilots_need_no_searches_of_their_own() -> None:
    for budget in (8, 12, 64):
        alone = searches_needed([budget], [0], plan_grid)
        assert searches_needed([budget], [0, 1, 2, 4], plan_grid) == alone
        assert all(plan.strategy == "beam_search" for plan in alone)
    grid = partial(plan_grid, strategies=("best_of_n", "revisions"))
    revised = searches_needed([8], [0], grid)
    assert {plan.strategy for plan in revised} == {"revisions"}


@pytest.mark.slow
def test_fitting_gives_each_bin_what_it_needs() -> None:
    # Easy prompts are right at once; hard ones by beam search, which leads easy ones astray.
    searches = searches_needed([1, 8], [2], plan_grid)
    rng = np.random.default_rng(0)
    records = []
    for i in range(80):
        hard = i % 2 == 1
        right = [bool(rng.random() < (0.03 if hard else 0.97)) for _ in range(16)]
        records.append(graded_record(i, right, {plan: [hard] * plan.n for plan in searches}))
    replay = Replay(records, 8, sizes=ModelSizes(model=1, verifier=10))
    made = fit(replay, plan_grid, [1, 8], pilots=[2], n_bins=2, fingerprint=FINGERPRINT)
    # A single solution is not scored; of two pilots and what follows every token is.
    (single,) = made.table.row(1).cells
    assert single.flops == pytest.approx(2 * single.tokens)
    for cell in made.table.row(8).cells:
        assert cell.flops == pytest.approx(22 * cell.tokens)
    easy, hard_cell = made.table.row(8).cells
    assert made.table.row(8).pilots == 2
    assert easy.generations < hard_cell.generations
    assert hard_cell.plan.strategy == "beam_search"
    assert hard_cell.accuracy > 0.9
    assert made.oracle_table.row(8).pilots == 0
    assert made.oracle_table.difficulty == "oracle"


@pytest.mark.slow
def test_bins_of_too_few_prompts_join_their_neighbour() -> None:
    searches = searches_needed([1, 8], [2], plan_grid)
    rng = np.random.default_rng(0)
    records = []
    for i in range(22):
        right = [bool(rng.random() < i / 22) for _ in range(16)]
        records.append(graded_record(i, right, {plan: [True] * plan.n for plan in searches}))
    made = fit(Replay(records, 8), plan_grid, [1, 8], pilots=[2], n_bins=5, fingerprint=FINGERPRINT)
    cells = made.oracle_table.rows[-1].cells
    assert 1 < len(cells) < 5
    assert min(cell.prompts for cell in cells) >= MIN_IN_BIN
    assert any("instead of 5" in warning for warning in made.warnings)


@pytest.mark.slow
def test_each_budget_takes_the_pilots_that_serve_it() -> None:
    searches = searches_needed([1, 8], [0, 1, 4], plan_grid)
    rng = np.random.default_rng(0)
    records = []
    for i in range(60):
        right = [bool(rng.random() < (0.05 if i % 2 else 0.95)) for _ in range(16)]
        records.append(graded_record(i, right, {plan: [True] * plan.n for plan in searches}))
    made = fit(Replay(records, 8), plan_grid, [1, 4, 8], [4, 0, 1], 2, FINGERPRINT)
    assert list(made.difficulty) == [0, 1, 4]
    assert [curves.pilots for curves in made.curves.curves] == [0, 1, 4]
    # Four pilots tell more than one, and the prompt by itself tells nothing.
    told = [made.difficulty[pilots].rank_correlation for pilots in (0, 1, 4)]
    assert told[0] < told[1] < told[2]
    assert made.table.row(1).pilots == 0
    assert all(row.pilots < row.budget for row in made.table.rows)
    assert made.pilots in (1, 4)
    assert made.drift_baseline.pilots == 1
    schedule = made.gain_model.prices.schedule
    assert schedule.stages[-1].samples == 8
    assert made.curves.after(4).costs.max() <= 8


@pytest.mark.slow
def test_a_budget_need_not_be_a_power_of_two() -> None:
    searches = searches_needed([1, 12], [2], plan_grid)
    rng = np.random.default_rng(0)
    records = []
    for i in range(40):
        right = [bool(rng.random() < i / 40) for _ in range(24)]
        records.append(graded_record(i, right, {plan: [True] * plan.n for plan in searches}))
    replay = Replay(records, 12)
    made = fit(replay, plan_grid, [1, 8, 12], [2], 2, FINGERPRINT)
    assert max(plan.n for plan in made.curves.after(0).plans) == 12
    summary = summarise(
        replay,
        made,
        source="made",
        selections=("weighted",),
        strategies=CONSIDERED,
        samples=24,
        sampled_tokens=0,
    )
    curves = {curve.name: curve for curve in summary.groups[0].curves}
    assert [point.budget for point in curves["best-of-N weighted"].points] == [1, 8, 12]
    assert [point.budget for point in curves["beam search, M = 4"].points] == [8]


def test_prompts_that_are_all_alike(tmp_path: Path) -> None:
    log = Log("all right", "0", np.zeros((30, 16), dtype=int), LoggedScores(), None, 0)
    made = calibrate_from_logs(log, tmp_path / "a", budgets=[1, 8], pilots=[1, 2], n_bins=3)
    assert [cell.plan for cell in made.table.row(8).cells] == [
        Plan(strategy="best_of_n", n=1, selection="majority")
    ]
    predictor = Summary.load(tmp_path / "a").predictor
    assert predictor is not None
    assert predictor.rank_correlation == 0
    # Nothing is gained by going on, at any price worth the name.
    points = made.gain_model.prices.points
    assert {point.generations for point in points if point.price > 0.001} == {1}
