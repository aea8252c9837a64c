"""`n_jobs`: the same figures for any number, and processes only where there is enough to do."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config

from allocator.errors import InputError
from allocator.plan import Plan, plan_grid
from allocator.schedule import schedule_of
from calibration.bench import BASELINE, findings_of
from calibration.fitting.fit import Calibration, fit
from calibration.replay import parallel
from calibration.replay.curves import cost_at, plan_curve, resamples
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.parallel import in_processes, in_threads, jobs_of
from calibration.replay.replay import Replay
from calibration.replay.saving_rows import saving_rows
from calibration.replay.ways import WAYS
from calibration.report.summarise import summarise
from calibration.report.summary import Summary
from tests.support.cli import refused
from tests.support.logs import as_records, made_log
from tests.support.processes import alive, imported, process_of
from tests.support.summaries import FINGERPRINT
from tests.support.waiting import eventually

JOBS = [2, -1, None]
LOG = made_log(60, 16)
Made = Replay | LoggedReplay


def of_records(n_jobs: int | None) -> Replay:
    return Replay(as_records(LOG), 8, replicates=4, n_jobs=n_jobs)


def of_log(n_jobs: int | None) -> LoggedReplay:
    return LoggedReplay(LOG, LOG.scores.first, replicates=4, n_jobs=n_jobs)


def everything(replay: Made) -> tuple[Calibration, Summary]:
    def grid(budget: int, pilots: int) -> list[Plan]:
        return plan_grid(budget, pilots, ("best_of_n",))

    made = fit(replay, grid, [1, 4, 8], [1, 2], 3, FINGERPRINT)
    summary = summarise(
        replay,
        made,
        source="made",
        selections=("weighted", "majority"),
        strategies=("best_of_n",),
        samples=16,
        sampled_tokens=1,
    )
    return made, summary


@pytest.fixture
def always_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are used however little there is to do, on several parts."""
    monkeypatch.setattr(parallel, "MIN_SOLUTIONS", 1)
    monkeypatch.setattr("calibration.replay.replay.PART", 13)
    monkeypatch.setattr("calibration.replay.log_replay.PART", 13)


@pytest.mark.slow
@pytest.mark.parametrize("made", [of_records, of_log])
@pytest.mark.usefixtures("always_processes")
def test_tables_intervals_and_gains_are_the_same_for_any_number_of_jobs(
    made: Callable[[int | None], Made],
) -> None:
    alone, summary = everything(made(1))
    for n_jobs in JOBS:
        found, found_summary = everything(made(n_jobs))
        assert found_summary == summary
        assert found.table == alone.table
        assert found.oracle_table == alone.oracle_table
        assert found.curves == alone.curves
        assert found.gain_model.gain_model == alone.gain_model.gain_model
        assert found.gain_model.prices == alone.gain_model.prices
        np.testing.assert_array_equal(
            found.gain_model.held_out_gains, alone.gain_model.held_out_gains
        )
        assert found.drift_baseline == alone.drift_baseline
        for count, fitted in found.difficulty.items():
            assert np.array_equal(fitted.predicted, alone.difficulty[count].predicted)


@pytest.mark.slow
@pytest.mark.usefixtures("always_processes")
def test_processes_replay_what_this_one_does() -> None:
    plans = [(Plan(strategy="best_of_n", n=n), 0) for n in (1, 3, 8)]
    alone, shared = of_records(1), of_records(2)
    shared.prepare(plans, [0, 2])
    for plan, pilots in plans:
        ours, theirs = alone.outcome(plan, pilots), shared.outcome(plan, pilots)
        assert np.array_equal(ours.correct, theirs.correct)
        assert np.array_equal(ours.tokens, theirs.tokens)
    for pilots in (0, 2):
        assert np.array_equal(alone.features(pilots), shared.features(pilots))
    pairs: list[tuple[Made, Made]] = [(alone, shared), (of_log(1), of_log(2))]
    for one, two in pairs:
        mine, other = (replay.adaptive_runs(schedule_of(8)) for replay in (one, two))
        assert np.array_equal(mine.states, other.states)
        assert np.array_equal(mine.correct, other.correct)
        assert np.array_equal(mine.tokens, other.tokens)


@pytest.mark.usefixtures("always_processes")
def test_bad_input_in_a_process_is_refused_as_in_this_one() -> None:
    with pytest.raises(InputError, match="was not collected"):
        of_records(2).outcome(Plan(strategy="beam_search", n=4, beam_width=2), 0)


def test_gains_are_the_same_for_any_number_of_jobs() -> None:
    replay = of_log(1)
    weighted, majority = (
        plan_curve(
            how, replay, [Plan(strategy="best_of_n", n=n, selection=how) for n in (1, 2, 4, 8)]
        )
        for how in ("weighted", "majority")
    )
    draws = resamples(60)
    alone = saving_rows(weighted, [majority], [4, 8], draws, 1)
    for n_jobs in JOBS:
        assert saving_rows(weighted, [majority], [4, 8], draws, n_jobs) == alone


@pytest.mark.slow
def test_nothing_runs_on_more_jobs_than_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[int | None] = set()

    def noted(n_jobs: int | None) -> int:
        asked.add(n_jobs)
        return 1

    monkeypatch.setattr(parallel, "jobs_of", noted)
    replay = of_log(1)
    everything(replay)
    plans = [Plan(strategy="best_of_n", n=n) for n in (1, 4, 8)]
    curves = [plan_curve(name, replay, plans) for name in (BASELINE, WAYS["bins"])]
    found = findings_of(curves, BASELINE, [1, 4, 8], replay.pass_at_1(0)[:, 0], "bins", 1)
    assert found.saving is not None
    assert asked == {1}


def test_a_curve_is_made_monotone_before_costs_are_read() -> None:
    from scipy.optimize import isotonic_regression

    # 0.5, 0.3 are pooled to 0.4, reached from 0.2 between costs of 1 and 2.
    reached, costs = np.array([0.2, 0.5, 0.3, 0.8]), np.array([1.0, 2.0, 4.0, 8.0])
    assert cost_at(reached, costs, 0.3) == pytest.approx(1.5)
    assert cost_at(reached, costs, 0.6) == pytest.approx(6)
    assert cost_at(reached, costs, 0.1) == 1
    assert cost_at(reached, costs, 0.9) == np.inf
    rng = np.random.default_rng(0)
    for _ in range(50):
        noisy = rng.random(9).round(1)
        fitted = isotonic_regression(noisy).x
        wanted = rng.random()
        place = int(np.argmax(fitted >= wanted)) if fitted[-1] >= wanted else None
        expected = np.inf if place is None else float(place)
        if place:
            expected -= (fitted[place] - wanted) / (fitted[place] - fitted[place - 1])
        assert cost_at(noisy, np.arange(9.0), wanted) == pytest.approx(expected)


def test_jobs_are_counted_as_scikit_learn_counts_them() -> None:
    assert [jobs_of(n) for n in (None, 1, 3)] == [1, 1, 3]
    assert jobs_of(-1) >= 1
    with parallel_config("threading", n_jobs=2):
        assert jobs_of(None) == 2


@pytest.mark.parametrize("n_jobs", [0, 1.5, True, "2"])
def test_other_numbers_of_jobs_are_refused(n_jobs: int) -> None:
    for use in (jobs_of, of_records, of_log, lambda n: in_threads(abs, [1], n)):
        with pytest.raises(InputError, match="n_jobs"):
            use(n_jobs)


@pytest.mark.parametrize(
    "command", ["calibrate --from-logs none.jsonl --out", "bench none --artifact"]
)
def test_commands_refuse_zero_jobs_before_any_work(command: str, tmp_path: Path) -> None:
    assert "n_jobs: 0" in refused(*command.split(), tmp_path / "a", "--n-jobs", 0)


def test_little_work_starts_no_process() -> None:
    few = parallel.MIN_SOLUTIONS - 1
    assert set(in_processes(process_of, range(4), 2, few)) == {os.getpid()}


@pytest.mark.slow
def test_much_work_is_done_by_other_processes_in_order() -> None:
    assert os.getpid() not in in_processes(process_of, range(4), 2, parallel.MIN_SOLUTIONS)
    assert in_processes(abs, [-3, 2, -1], 2, parallel.MIN_SOLUTIONS) == [3, 2, 1]


ENDLESS = """
import sys
from pathlib import Path
from calibration.replay.parallel import MIN_SOLUTIONS, in_processes
from tests.support.processes import note_and_wait
in_processes(note_and_wait, [Path(sys.argv[1])] * 2, 2, MIN_SOLUTIONS)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_process_leaves_none_behind(end: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
        eventually(lambda: len(list(tmp_path.iterdir())) == 2, 120)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert all(map(alive, workers))
        parent.send_signal(end)
        assert parent.wait(60) != 0
    eventually(lambda: not any(map(alive, workers)))


@pytest.mark.slow
def test_processes_import_no_model_library() -> None:
    names = ("torch", "vllm", "transformers", "lightgbm")
    assert in_processes(imported, [names] * 2, 2, parallel.MIN_SOLUTIONS) == [[], []]
