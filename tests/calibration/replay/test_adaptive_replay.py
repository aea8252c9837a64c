"""Adaptive runs replayed on records and logs, and what is decided from them."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.plan import Plan
from allocator.schedule import Schedule, Stage, schedule_of
from calibration.fitting.crossval import FOLDS
from calibration.fitting.fit import gain_model_of
from calibration.fitting.gain_model import (
    cross_validated_gains,
    fit_gain_model,
    gains_between_stages,
    price_list,
)
from calibration.replay.adaptive_run import AdaptiveRuns, Searched, replay_run
from calibration.replay.budget_replay import PRICES, averages_between, stopped_at
from calibration.replay.replay import Replay
from calibration.replay.ways import PRICE, TOTAL
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.gain_model import GainEstimator
from predictors.vote_state import VOTE_STATE_NAMES
from tests.support.adaptive import made_runs
from tests.support.logs import as_records, made_log, replay_of
from tests.support.samples import make_sample

SEARCH = Plan(strategy="beam_search", n=2, beam_width=2)
SAMPLES, MASS = VOTE_STATE_NAMES.index("samples"), VOTE_STATE_NAMES.index("leader_mass")


def test_an_adaptive_run_worked_by_hand() -> None:
    schedule = schedule_of(3, (SEARCH,))  # 1 sample; that and the search; 2 and the search; 3
    drawn = [("7", 0.5, 10), ("9", 0.4, 20), ("9", 0.3, 30)]
    adaptive_runs = AdaptiveRuns.empty(1, 1, 4)
    found = {SEARCH: Searched([("8", 0.6, 99), (None, 0.1, 99)], 70)}
    replay_run(adaptive_runs, (0, 0), schedule, 5, "9", drawn, found)
    # 7 leads, then 8 of the search does, by 0.6 also before 0.4; at last 9, by 0.7.
    assert adaptive_runs.correct[0, 0].tolist() == [0, 0, 0, 1]
    assert adaptive_runs.tokens[0, 0].tolist() == [10, 80, 100, 130]
    assert adaptive_runs.states[0, 0, :, SAMPLES].tolist() == [1, 3, 4, 5]
    assert adaptive_runs.states[0, 0, :, MASS].tolist() == [0.5, 0.6, 0.6, 0.7]


def record(answers: str, searched: str = "") -> PromptRecord:
    """A prompt whose samples have one letter each as their answer; "a" is right."""

    def as_run(letters: str) -> PlanRun:
        samples = tuple(make_sample(letter, 0.5) for letter in letters)
        return PlanRun(samples, tuple(letter == "a" for letter in letters), 3 * len(letters))

    searches = {SEARCH: as_run(searched)} if searched else {}
    return PromptRecord("prompt", "a", 5, as_run(answers), (searches,))


def test_records_are_replayed_in_every_rotation() -> None:
    replay = Replay([record("abbb"), record("aabc")], window=4, replicates=4)
    found = replay.adaptive_runs(schedule_of(4))
    assert found.correct.shape == (2, 4, 4)
    assert found.correct[0].tolist() == [[1, 1, 0, 0], [0] * 4, [0] * 4, [0, 0, 0, 0]]
    assert found.correct[1, :, 0].tolist() == [1, 1, 0, 0]
    assert found.correct[1, :, 3].tolist() == [1, 1, 1, 1]
    assert found.tokens[0, 0].tolist() == [3, 6, 9, 12]


def test_the_last_stage_is_best_of_n() -> None:
    replay = Replay(as_records(made_log(20, 16)), 8)
    found = replay.adaptive_runs(schedule_of(8))
    for number, cost in enumerate(schedule_of(8).costs):
        plain = replay.outcome(Plan(strategy="best_of_n", n=cost), 0)
        np.testing.assert_array_equal(found.correct[..., number], plain.correct)
        np.testing.assert_array_equal(found.tokens[..., number], plain.tokens)


def test_a_search_joins_the_pool() -> None:
    replay = Replay([record("abcd", searched="ee")], window=4, replicates=4)
    schedule = schedule_of(2, (SEARCH,))
    assert replay.adaptive_runs(schedule).correct[0, 0].tolist() == [1, 0, 0]
    assert replay.adaptive_runs(schedule).tokens[0, 0].tolist() == [3, 9, 12]


@pytest.mark.parametrize("scored", [True, False])
def test_a_log_is_replayed_as_its_records_are(scored: bool) -> None:
    log, schedule = made_log(25, 16, scored=scored), schedule_of(8)
    logged = replay_of(log).adaptive_runs(schedule)
    records = as_records(log)
    if not scored:  # every vote weighs one
        weighed = [[make_sample(s.answer, 1.0) for s in r.independent.samples] for r in records]
        runs = [PlanRun(tuple(s), (), 0) for s in weighed]
        records = [
            PromptRecord(r.prompt, r.gold, 0, run, ({},))
            for r, run in zip(records, runs, strict=True)
        ]
    replayed = Replay(records, 16).adaptive_runs(schedule)
    np.testing.assert_array_equal(logged.correct, replayed.correct)
    of_answers = [i for i, name in enumerate(VOTE_STATE_NAMES) if name != "prompt_tokens"]
    np.testing.assert_array_equal(logged.states[..., of_answers], replayed.states[..., of_answers])
    if scored:
        np.testing.assert_array_equal(logged.tokens, replayed.tokens)


@pytest.mark.parametrize("scored", [True, False])
def test_every_stage_of_a_log_answers_as_best_of_n_does(scored: bool) -> None:
    replay = replay_of(made_log(60, 16, scored=scored))
    found = replay.adaptive_runs(schedule_of(8))
    for number, cost in enumerate(schedule_of(8).costs):
        plan = Plan(strategy="best_of_n", n=cost, selection=replay.selections[0])
        # One pilot, so that it is replayed and not in closed form.
        plain = replay.outcome(plan, 1).correct
        np.testing.assert_array_equal(found.correct[..., number], plain)


def test_large_logs_have_fewer_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = replay_of(made_log(10, 16))
    monkeypatch.setattr("calibration.replay.log_replay.MAX_REPLAYED", 3 * 10 * 16)
    assert replay.adaptive_runs(schedule_of(4)).correct.shape == (10, 3, 4)
    monkeypatch.setattr("calibration.replay.log_replay.MAX_REPLAYED", 1)
    assert replay.adaptive_runs(schedule_of(4)).correct.shape == (10, 1, 4)


THREE = Schedule(stages=tuple(Stage(samples=n) for n in (1, 2, 4)))


def of(first: tuple[float, float], second: float) -> np.ndarray:
    """Gains of one run: from the first stage to the later ones, from the second to the third."""
    return np.array([[[[0, *first], [0, 0, second], [0, 0, 0]]]], dtype=float)


@pytest.mark.parametrize(
    ("gains", "price", "stage"),
    [
        (of((0.1, 0.1), 0.1), 0.2, 0),
        (of((0.3, 0.3), 0.1), 0.2, 1),
        (of((0.3, 0.3), 0.5), 0.2, 2),
        (of((0.0, 0.7), 0.5), 0.2, 2),  # past a stage that gains nothing
        (of((0.1, 0.1), 0.5), 0.2, 0),  # never gets to where going on would pay
        (of((0.0, 0.0), 0.0), 0.0, 0),
    ],
)
def test_a_run_ends_where_continuing_is_first_not_worth_it(
    gains: np.ndarray, price: float, stage: int
) -> None:
    assert stopped_at(THREE, gains, price).tolist() == [[stage]]


SCHEDULE = schedule_of(8)
KINDS = ["settled", "open", "hopeless"] * 10


@pytest.mark.slow
@given(st.integers(0, 1000))
def test_what_is_spent_falls_with_the_price(seed: int) -> None:
    rng = np.random.default_rng(seed)
    adaptive_runs = AdaptiveRuns.empty(4, 3, len(SCHEDULE.stages))
    adaptive_runs.correct[...] = rng.random(adaptive_runs.correct.shape) < 0.5
    gains = np.triu(rng.random((4, 3, 6, 6)) ** 8, 1)
    points = price_list(SCHEDULE, adaptive_runs, gains).points
    assert [point.price for point in points] == list(PRICES)
    spent = [point.generations for point in points]
    assert spent == sorted(spent, reverse=True)


def test_figures_of_a_price_are_of_where_runs_end() -> None:
    adaptive_runs = AdaptiveRuns.empty(2, 1, 3)
    adaptive_runs.correct[0, 0], adaptive_runs.correct[1, 0] = (0, 0, 1), (1, 0, 0)
    gains = np.concatenate([of((0.9, 2.9), 2.0), of((0, 0), 0)])
    points = price_list(THREE, adaptive_runs, gains).points
    # One goes to the top and is right there; the other stays, as it should.
    assert {(p.generations, p.accuracy) for p in points} == {((4 + 1) / 2, 1.0)}


def test_cross_validated_gains_never_see_the_prompt_itself() -> None:
    # What a prompt gains is a coin of its own, told by the length of the prompt to the last token.
    adaptive_runs = made_runs(SCHEDULE, ["open"] * 40, 4)
    lengths = 100.0 + 50 * np.arange(40)
    adaptive_runs.states[..., VOTE_STATE_NAMES.index("prompt_tokens")] = lengths[:, None, None]
    before = cross_validated_gains(SCHEDULE, [adaptive_runs] * FOLDS)
    for prompt in (0, 17):
        changed = replace(adaptive_runs, correct=adaptive_runs.correct.copy())
        changed.correct[prompt, :, 0], changed.correct[prompt, :, 1:] = 1.0, 0.0
        after = cross_validated_gains(SCHEDULE, [changed] * FOLDS)
        moved = np.any(before != after, axis=(1, 2, 3))
        assert not moved[prompt]
        assert moved.sum() >= 30  # of the other folds


def test_gains_of_each_stage_over_each() -> None:
    adaptive_runs = made_runs(SCHEDULE, KINDS, 2)
    flat = adaptive_runs.states.reshape(60, *adaptive_runs.states.shape[2:])
    gain_model = GainEstimator(SCHEDULE).fit(flat, adaptive_runs.correct.reshape(60, -1)).model_
    found = gains_between_stages(gain_model, SCHEDULE, adaptive_runs.states)
    assert found.shape == (30, 2, 6, 6)
    assert not np.any(np.tril(found))
    np.testing.assert_allclose(
        found[4, 1, 2, 3:], gain_model.gains(SCHEDULE, 2, adaptive_runs.states[4:5, 1, 2])[0]
    )


@pytest.mark.slow
def test_the_better_of_two_schedules_is_fitted() -> None:
    adaptive_runs = made_runs(SCHEDULE, KINDS, 3)
    worse = replace(adaptive_runs, correct=adaptive_runs.correct * 0.5)
    same = Schedule(stages=SCHEDULE.stages)
    chosen = fit_gain_model([(same, worse), (SCHEDULE, adaptive_runs)])
    assert max(point.accuracy for point in chosen.prices.points) > 0.55
    again = fit_gain_model([(SCHEDULE, adaptive_runs), (same, worse)])
    assert (chosen.gain_model, chosen.prices) == (again.gain_model, again.prices)
    np.testing.assert_array_equal(chosen.adaptive_runs.correct, adaptive_runs.correct)
    alone = fit_gain_model([(SCHEDULE, adaptive_runs)])
    assert (chosen.gain_model, chosen.prices) == (alone.gain_model, alone.prices)
    # It spends on open prompts what it saves on the others: more for the same than a stage for all.
    stages = adaptive_runs.correct.mean(axis=(0, 1))
    three = alone.prices.price_for(3)
    nearest = min(alone.prices.points, key=lambda point: abs(np.log(point.price / three)))
    assert nearest.generations < 3.5
    assert nearest.accuracy > stages[SCHEDULE.costs.index(3)] + 0.02


def test_the_luck_of_a_search_is_not_in_the_figures_of_a_price() -> None:
    # Samples are wrong, and each of many searches of one cost is right by chance, half the time.
    searches = [
        Plan(strategy="beam_search", n=n, beam_width=width, lookahead=64 // n - 1)
        for n, width in product([2**i for i in range(7)], repeat=2)
        if width <= n
    ]
    rng = np.random.default_rng(0)

    def lucky() -> PromptRecord:
        found = {search: "a" if rng.random() < 0.5 else "b" for search in searches}
        runs = {
            search: PlanRun((make_sample(answer, 0.9),), (answer == "a",), 3)
            for search, answer in found.items()
        }
        wrong = PlanRun((make_sample("c", 0.1),) * 2, (False,) * 2, 6)
        return PromptRecord("prompt", "a", 5, wrong, (runs,))

    replay = Replay([lucky() for _ in range(60)], window=2, replicates=1, n_jobs=1)
    luckiest = max(replay.outcome(search, 0).correct.mean() for search in searches)
    fitted = gain_model_of(replay, searches, 2)
    (search,) = fitted.prices.schedule.searches
    assert replay.outcome(search, 0).correct.mean() == luckiest, "all prompts choose it"
    assert luckiest > 0.6
    assert max(point.accuracy for point in fitted.prices.points) < 0.58


def test_averages_have_points_between_the_budgets() -> None:
    assert averages_between([1]) == (1,)
    assert averages_between([3, 4]) == (1, 1.19, 1.41, 1.68, 2, 2.38, 2.83, 3, 3.36, 4)


def test_held_out_curves_are_those_of_the_price_list() -> None:
    fitted = fit_gain_model([(SCHEDULE, made_runs(SCHEDULE, KINDS * 4, 4))])
    averages = (1.5, 2.5, 4.0)
    by_price, in_total = fitted.held_out_curves(averages)
    assert (by_price.name, in_total.name) == (PRICE, TOTAL)
    assert by_price.budgets == in_total.budgets == averages
    points = fitted.prices.points
    for row, average in enumerate(averages):
        # Between two prices of the list, so are cost and accuracy.
        price = fitted.prices.price_for(average)
        above = next(i for i, point in enumerate(points) if point.price >= price)
        near = points[above - 1], points[above]
        spent = by_price.generations[row].mean()
        assert near[1].generations - 1e-9 <= spent <= near[0].generations + 1e-9
        assert abs(by_price.correct[row].mean() - near[0].accuracy) < 0.05
        # A total is a limit; what is left of it is less than the largest stage adds.
        assert in_total.generations[row].mean() <= average
        assert in_total.generations[row].mean() > 0.9 * average
    # The gains are of models that were fitted on other prompts.
    again = cross_validated_gains(SCHEDULE, [fitted.adaptive_runs] * FOLDS)
    np.testing.assert_array_equal(fitted.held_out_gains, again)
