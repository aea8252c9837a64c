"""What budgets are shared out by, worked by hand; and how long plans take."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from allocator.plan import Plan
from allocator.schedule import schedule_of
from calibration.fitting.accuracy_tables import accuracy_curves, drift_baseline_of, schedules_of
from calibration.fitting.difficulty import FittedDifficulty
from calibration.replay.outcomes import Outcome
from calibration.replay.replay import Replay
from calibration.sampling.collect import PlanRun, PromptRecord
from calibration.sampling.timing import time_plans
from tests.support.fakes import COIN_SETTINGS, CoinEngine, coin_run
from tests.support.logs import made_log, replay_of
from tests.support.samples import make_sample

ONE, TWO = Plan(strategy="best_of_n", n=1), Plan(strategy="best_of_n", n=2)
BEAM = Plan(strategy="beam_search", n=2, beam_width=2)


def record(easy: bool) -> PromptRecord:
    """Easy prompts are right at once, hard ones by beam search; a sample has 3 tokens."""
    samples = tuple(make_sample("1" if easy else f"wrong {i}", 0.5) for i in range(8))
    beams = PlanRun((make_sample("1", 0.9),) * 2, (True,) * 2, 40)
    return PromptRecord("prompt", "1", 5, PlanRun(samples, (easy,) * 8, 24), ({BEAM: beams},))


def known(pilots: int, predicted: list[float], edges: tuple[float, ...]) -> FittedDifficulty:
    """Difficulty whose model predicts for all prompts what it predicted out of fold."""
    model = SimpleNamespace(predictor=SimpleNamespace(predict=lambda _: np.array(predicted)))
    return FittedDifficulty(pilots, cast(Any, model), np.array(predicted), edges, 0.9)


def grid(budget: int, paid: int) -> list[Plan]:
    return [ONE, BEAM] if paid else [ONE, TWO, BEAM]


def test_accuracy_of_every_plan_in_every_bin() -> None:
    replay = Replay([record(True), record(False)], window=4, replicates=2)
    told = {1: known(1, [0.9, 0.9, 0.1, 0.1], (0.5,))}
    before, after = accuracy_curves(replay, grid, 4, told).curves
    assert (before.pilots, before.edges, before.plans) == (0, (), (ONE, TWO, BEAM))
    assert before.costs.tolist() == [1, 2, 2]
    np.testing.assert_allclose(before.accuracies, [[0.5, 0.5, 1.0]])
    assert [option.tokens for option in before.bins[0]] == [3, 6, 40]
    assert (after.pilots, after.edges, after.plans) == (1, (0.5,), (ONE, BEAM))
    assert after.costs.tolist() == [1, 3]
    # All plans together have 1 and 1/2. The difference is smoothed, 0 and 1/2 from that to each
    # plan: a bin counts twice, its neighbour once. The pilot joins the beams.
    np.testing.assert_allclose(after.accuracies, [[5 / 6, 1], [1 / 6, 5 / 6]])
    assert [option.tokens for option in after.bins[1]] == [3, 43]


def test_a_cliff_between_bins_is_not_smeared() -> None:
    replay = Replay([record(True)] * 4 + [record(False)], window=4, replicates=2)
    told = {1: known(1, list(np.repeat([0.9, 0.7, 0.5, 0.3, 0.1], 2)), (0.8, 0.6, 0.4, 0.2))}
    found = accuracy_curves(replay, lambda *_: [ONE, TWO], 4, told).after(1)
    np.testing.assert_allclose(found.accuracies, [[1, 1]] * 4 + [[0, 0]], atol=1e-12)


def test_accuracies_fall_with_difficulty() -> None:
    # Predicted the wrong way round: one level for both bins.
    replay = Replay([record(True), record(False)], window=4, replicates=2)
    told = {1: known(1, [0.1, 0.1, 0.9, 0.9], (0.5,))}
    found = accuracy_curves(replay, grid, 4, told).after(1)
    np.testing.assert_allclose(found.accuracies[:, 0], [0.5, 0.5])


class Rated:
    """Outcomes of plans of a given accuracy."""

    def __init__(self, **accuracies: float) -> None:
        self.accuracies = accuracies

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        rate = self.accuracies[f"{plan.strategy}_{plan.n}"]
        right = (np.arange(100.0) < 100 * rate).astype(float)[:, None]
        return Outcome(right, np.ones((100, 1)), np.zeros((100, 1)))


SEARCHES = [
    Plan(strategy="beam_search", n=4, beam_width=2),
    Plan(strategy="dvts", n=8, beam_width=2),
    Plan(strategy="beam_search", n=16, beam_width=4),
]


def test_the_best_search_of_each_cost_is_in_schedules() -> None:
    rated = cast(Any, Rated(beam_search_4=0.5, dvts_8=0.6, beam_search_8=0.5, beam_search_16=0.9))
    beams = Plan(strategy="beam_search", n=8, beam_width=2)
    plans = [ONE, TWO, *SEARCHES, beams, Plan(strategy="revisions", n=4, length=4)]
    small = SEARCHES[:2]
    assert schedules_of(rated, plans, 16) == [
        schedule_of(16),
        *(schedule_of(16, small, after) for after in (1, 2, 4)),
        *(schedule_of(16, SEARCHES, after) for after in (1, 2, 4)),
    ]
    assert schedules_of(rated, plans, 1) == [
        schedule_of(1),
        schedule_of(1, small, 1),
        schedule_of(1, SEARCHES, 1),
    ]
    assert len(schedules_of(rated, [ONE, *small], 16)) == 4, "the small one is the largest"


def test_without_a_search_there_is_one_schedule() -> None:
    assert schedules_of(cast(Any, Rated()), [ONE, TWO], 16) == [schedule_of(16)]


def test_reference_of_calibration_traffic() -> None:
    replay = Replay([record(True), record(False), record(False)], window=4, replicates=2)
    told = known(2, [0.9, 0.9, 0.1, 0.1, 0.1, 0.6], (0.5,))
    drift_baseline = drift_baseline_of(replay, told)
    assert (drift_baseline.prompts, drift_baseline.pilots) == (3, 2)
    signals = drift_baseline.signals
    assert set(signals) == {"score", "agreement", "bin"}
    # Pilots of easy prompts agree, of hard ones none do; bins count from 1.
    assert signals["agreement"].edges == (0.5, 1.0)
    assert signals["agreement"].shares == pytest.approx((0, 2 / 3, 1 / 3))
    assert signals["bin"].edges == (1.0, 2.0)
    assert signals["bin"].shares == pytest.approx((0, 1 / 2, 1 / 2))
    assert signals["score"].edges == (0.5,)


def test_a_log_without_scores_has_no_scores_to_compare() -> None:
    replay = replay_of(made_log(20, 16, scored=False))
    told = known(2, [0.9] * 20 * replay.replicates, ())
    assert set(drift_baseline_of(replay, told).signals) == {"agreement", "bin"}


def test_times_are_high_percentiles_over_a_few_prompts(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CoinEngine(tokenizer)
    models = coin_run(tokenizer, engine=engine).models
    # Five prompts take 1, 2, 3, 4 and 5 seconds with the first plan, ten times that with the second
    taken = [*range(1, 6), *range(10, 60, 10)]
    clock = iter(np.ravel([(0, seconds) for seconds in taken]).tolist())
    monkeypatch.setattr(
        "calibration.sampling.timing.time", SimpleNamespace(perf_counter=clock.__next__)
    )
    prompts = ["1", "0", "1+1", "0+1", "1+0", "0+0", "1+1+1"]
    plans = [TWO, BEAM, TWO.model_copy(update={"selection": "majority"})]
    found = asyncio.run(time_plans(models, COIN_SETTINGS, prompts, plans))
    # Nine tenths of the way from the first to the last of five: at 4.6 of 1 to 5.
    assert found == pytest.approx({TWO: 4.6, BEAM: 46})
    assert next(clock, None) is None
    # Two samples of each of five prompts, and two beams of four steps; nothing was taken over.
    assert len(engine.requests) == 5 * (2 + 2 * 4)
    # The first prompts of a file may be the easiest.
    timed = {tokenizer.decode(ids).split("<assistant>")[0] for ids in engine.requests}
    assert len(timed) == 5
    assert any("1+1+1" in text for text in timed)
