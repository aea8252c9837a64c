"""What benchmarks.allocation compares: methods and rivals, on cases worked by hand."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from allocator.curves import BinCurves
from allocator.plan import Plan
from allocator.schedule import Schedule, Stage
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable
from benchmarks.allocation.family import SeededReplay
from benchmarks.allocation.figures import draw_difficulty
from benchmarks.allocation.methods import AVERAGES, bound, shared_by_bin
from benchmarks.allocation.rivals import concave_by
from benchmarks.allocation.traces import exact_majority
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.replay.adaptive_consistency import CONFIDENCES, adaptive_consistency
from calibration.replay.adaptive_run import AdaptiveRuns, Draw, replay_run
from calibration.replay.budget_replay import (
    PRICES,
    curve_of_stops,
    price_curve,
    shared_budget_curve,
)
from calibration.replay.policy_curves import exact_curve, policy_curve
from calibration.replay.replay import Replay
from tests.support.estimates import estimates
from tests.support.plans import best_of
from tests.support.samples import SEARCH, record

SCHEDULE = Schedule(stages=tuple(Stage(samples=n) for n in (1, 2, 3, 4)))


def runs_of(*answers: str, scores: list[list[float]] | None = None) -> AdaptiveRuns:
    """One prompt a string, a letter a solution's answer; `a` is right, `.` is none."""
    adaptive_runs = AdaptiveRuns.empty(len(answers), 1, len(SCHEDULE.stages))
    for row, letters in enumerate(answers):
        weights = [1.0] * len(letters) if scores is None else scores[row]
        drawn: list[Draw] = [
            (None if letter == "." else letter, weight, 10)
            for letter, weight in zip(letters, weights, strict=True)
        ]
        replay_run(adaptive_runs, (row, 0), SCHEDULE, 5, "a", drawn, {})
    return adaptive_runs


def test_a_curve_of_stops_is_read_off_where_each_run_ends() -> None:
    adaptive_runs = runs_of("baaa", "bbbb")
    ends = [np.array([[0], [0]]), np.array([[2], [1]])]
    curve = curve_of_stops("x", SCHEDULE, adaptive_runs, ends)
    np.testing.assert_array_equal(curve.correct, [[0, 0], [1, 0]])
    np.testing.assert_array_equal(curve.generations, [[1, 1], [3, 2]])
    np.testing.assert_array_equal(curve.tokens, [[10, 10], [30, 20]])


def some_gains(prompts: int, seeds: int = 2) -> NDArray[np.float64]:
    """Gains of each stage over each, as prospects would tell them, shape (prompts, seeds, 4, 4)."""
    rng = np.random.default_rng(3)
    gains = np.zeros((prompts, seeds, 4, 4))
    for stage in range(3):
        rising = rng.exponential(0.05, (prompts, seeds, 3 - stage)).cumsum(axis=-1)
        gains[:, :, stage, stage + 1 :] = rising * rng.integers(0, 2, (prompts, seeds, 1))
    return gains


def many_runs(prompts: int, seeds: int = 2) -> AdaptiveRuns:
    adaptive_runs = AdaptiveRuns.empty(prompts, seeds, len(SCHEDULE.stages))
    adaptive_runs.tokens[:] = 10 * np.array(SCHEDULE.costs)
    return adaptive_runs


def test_a_shared_total_is_never_exceeded_and_nothing_continues_without_a_gain() -> None:
    adaptive_runs, gains = many_runs(50), some_gains(50)
    curve = shared_budget_curve("x", SCHEDULE, adaptive_runs, gains, AVERAGES)
    assert len(curve.generations) == len(AVERAGES)
    for average, spent in zip(AVERAGES, curve.generations, strict=True):
        assert spent.mean() <= average + 1e-9
    # On the first stage half of the prompts have nothing to gain, however much there is.
    hopeless = gains[:, :, 0].max(axis=-1) == 0
    assert np.all(curve.generations[-1][hopeless.all(axis=1)] == 1)
    assert np.all(curve.generations[-1][~hopeless.any(axis=1)] >= 2)
    assert curve.generations[0].mean() > 1.2, "it is spent"


def test_a_price_of_nothing_ends_where_there_is_nothing_to_gain() -> None:
    adaptive_runs, gains = many_runs(50), some_gains(50)
    curve = price_curve("x", SCHEDULE, adaptive_runs, gains)
    assert len(curve.generations) == len(PRICES)
    assert np.all(np.diff(curve.generations.mean(axis=1)) <= 0)
    assert np.all(curve.generations[-1] == 1), "a price of a half: no gain is worth it"


def test_adaptive_consistency_stops_when_the_leader_is_sure() -> None:
    # With k votes to none the leader's chance is 1 - 1/2^(k + 1): 3/4, 7/8, 15/16, 31/32.
    # With one to one it is a half, with two to one 11/16.
    curve = adaptive_consistency("x", SCHEDULE, runs_of("aaaa", "baaa", "...."), weighted=False)
    stops = dict(zip(CONFIDENCES, curve.generations.tolist(), strict=True))
    assert stops[0.55][:2] == stops[0.75][:2] == [1, 1]
    assert stops[0.8] == [2, 4, 4]
    assert stops[0.925] == [3, 4, 4]
    assert stops[0.95] == stops[0.999] == [4, 4, 4]
    np.testing.assert_array_equal(curve.correct[0], [1, 0, 0])
    assert curve.correct[CONFIDENCES.index(0.8)].tolist() == [1, 1, 0]


def test_weighted_votes_count_as_their_scores() -> None:
    # 0.9 for a, 0.1 for b: scaled to one on average, 1.8 against 0.2.
    adaptive_runs = runs_of("abbb", scores=[[0.9, 0.1, 0.1, 0.1]])
    weighted = adaptive_consistency("x", SCHEDULE, adaptive_runs, weighted=True)
    plain = adaptive_consistency("x", SCHEDULE, adaptive_runs, weighted=False)
    row = CONFIDENCES.index(0.8)
    assert weighted.generations[row] == 2
    assert plain.generations[row] == 4
    assert weighted.correct[row] == 1


def seeded(*graded: list[bool]) -> SeededReplay:
    """Two seeds of four solutions each."""
    records = [record(f"p{i}", g) for i, g in enumerate(graded)]
    return SeededReplay(records, 4)


def test_each_seed_has_solutions_of_its_own() -> None:
    test = seeded([True] * 4 + [False] * 4)
    found = test.outcome(best_of(4), 0)
    assert found.correct.tolist() == [[1, 0]]
    assert test.pass_at_1_by_prompt.tolist() == [0.5]
    assert test.fresh_pass_at_1.tolist() == [[0, 1]]


def test_sharing_out_by_bins_gives_more_to_the_bin_that_gains() -> None:
    easy, hard = estimates((1, 4), 1, 1), estimates((1, 4), 0.2, 0.8)
    curves = BinCurves(pilots=0, edges=(0.5,), bins=(easy, hard))
    test = seeded([True] * 8, [False, True, True, True] * 2)
    easy_and_hard = np.array([[0.9, 0.9], [0.1, 0.1]])
    curve = shared_by_bin("x", test, curves, easy_and_hard)
    by_average = dict(zip(AVERAGES, curve.generations.tolist(), strict=True))
    assert by_average[2.25] == [1, 1], "three more for one prompt do not fit 4.5"
    assert by_average[2.5] == by_average[64] == [1, 4]
    assert curve.correct[AVERAGES.index(2.5)].tolist() == [1, 1]


def test_the_bound_knows_every_prompt() -> None:
    test = seeded([True] * 8, [False, True, True, True] * 2, [False] * 8)
    curve = bound("x", test, [best_of(1), best_of(2), best_of(4)])
    assert curve.correct[-1].tolist() == [1, 1, 0]
    # What cannot be won, or needs no more, is given one.
    assert curve.generations[-1].tolist() == [1, 2, 1]


def test_greedy_allocation_by_a_measure_of_difficulty() -> None:
    easy, hard = [True] * 16, [False, True, True, True] * 4
    known = Replay([record(f"c{i}", easy if i % 2 else hard) for i in range(40)], 8, replicates=4)
    measured = np.repeat([[0.1 + 0.8 * (i % 2)] for i in range(40)], 4, axis=1)
    test = seeded(easy[:8], hard[:8])
    live = np.array([[0.9, 0.9], [0.1, 0.1]])
    curve = concave_by("x", known, test, measured, live, 0, 4)
    by_average = dict(zip(AVERAGES, curve.generations.tolist(), strict=True))
    assert by_average[1.25] == [1, 1]
    assert by_average[1.5] == by_average[1.75] == [1, 2], "the harder bin gains more"
    assert by_average[64] == [2, 2], "four gain nothing in either"
    # A measure that costs two samples leaves no way to spend fewer.
    assert concave_by("x", known, test, measured, live, 2, 4).generations.min() == 2


def test_exact_majority_is_that_of_every_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.allocation.traces.MAX_SAMPLES", 3)
    # 0 is right, -1 no answer; the wrong ones are numbered from 1.
    answer = np.array([[0, 0, 1, 1, -1, 2], [0, 1, 1, 2, 3, 0], [-1, -1, 1, -1, -1, -1]])
    found = exact_majority(Log("x", "x", answer, LoggedScores(), None, 0))

    def wins(votes: list[int]) -> float:
        counts = np.bincount([v for v in votes if v >= 0], minlength=1)
        if not counts[0] or counts[0] < counts.max():
            return 0.0
        return 1 / float((counts == counts.max()).sum())

    expected = [np.mean([wins(list(s)) for s in combinations(row.tolist(), 3)]) for row in answer]
    assert found == pytest.approx(expected)
    assert expected[2] == 0 < expected[1] < expected[0]


def test_a_curve_in_closed_form() -> None:
    replay = Replay([record("p", [True, False]), record("q", [False, False])], 2)
    curve = exact_curve("x", replay, [1, 2], lambda run, n: n * sum(run.correct) / 10)
    assert curve.correct.tolist() == [[0.1, 0], [0.2, 0]]
    assert curve.generations.tolist() == [[1, 1], [2, 2]]
    assert curve.tokens.tolist() == [[3, 3], [6, 6]]


def test_a_tables_curve_takes_each_bins_plan() -> None:
    def cell(plan: Plan, pilots: int) -> Cell:
        cost = plan.cost(pilots)
        return Cell(plan=plan, accuracy=0, low=0, high=1, generations=cost, tokens=0, prompts=1)

    one = BudgetRow(budget=1, pilots=0, edges=(), cells=(cell(best_of(1), 0),))
    cells = (cell(best_of(2), 2), cell(SEARCH, 2))
    two = BudgetRow(budget=4, pilots=2, edges=(0.5,), cells=cells)
    fingerprint = Fingerprint(model="", verifier="", answers="", sampling={})
    table = LookupTable(fingerprint=fingerprint, difficulty="predicted", rows=(one, two))
    records = [record("easy", [True] * 4, False, False), record("hard", [False] * 4, True, True)]
    replay = Replay(records, 4, replicates=2)
    asked: list[int] = []

    def difficulty(pilots: int) -> NDArray[np.float64]:
        asked.append(pilots)
        return np.array([[0.9, 0.9], [0.1, 0.1]])

    curve = policy_curve("x", replay, table, difficulty)
    assert asked == [2], "a row of one bin asks for no difficulty"
    assert curve.budgets == (1, 4)
    assert curve.generations.tolist() == [[1, 1], [2, 4]]
    assert curve.correct.tolist() == [[1, 0], [1, 1]]
    assert curve.tokens.tolist() == [[3, 3], [6, 12]]


def test_an_interval_that_leaves_its_figure_out_is_drawn(tmp_path: Path) -> None:
    # Of resampled prompts the calibration error is greater: there are fewer different ones.
    quality = {"spearman": (0.8, 0.7, 0.9), "calibration error": (0.02, 0.03, 0.06)}
    quality |= {"coverage": (0.9, 0.8, 0.95), "width": (0.4, 0.3, 0.5)}
    draw_difficulty({1: quality, 4: quality}, tmp_path / "difficulty.png")
    assert (tmp_path / "difficulty.png").stat().st_size > 1000
