"""Choosing plans, intervals, the store, and the gain, on cases computed by hand."""

import errno
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import betaincinv
from scipy.stats import bootstrap

from allocator.errors import InputError
from allocator.plan import Plan
from calibration.fitting.crossval import cheapest_not_clearly_worse, most_accurate
from calibration.fitting.plan_selection import ALIKE, by_bin, greatest, smoothed
from calibration.replay.curves import Curve, accuracy, plan_curve, resamples, saving_factor
from calibration.replay.intervals import BOOTSTRAP_DRAWS, accuracy_interval, mean_interval
from calibration.replay.replay import Replay
from calibration.replay.replay_part import rotated
from calibration.sampling.resume import SampleStore
from calibration.sampling.store import read_records, write_records
from tests.support.binned import binned_outcomes
from tests.support.plans import best_of
from tests.support.samples import graded_record


def test_the_cheapest_plan_that_is_not_clearly_worse() -> None:
    prompts = np.arange(200)
    rng = np.random.default_rng(0)
    good = (rng.random(200) < 0.8).astype(float)
    slightly_less = good.copy()
    slightly_less[np.argmax(good)] = 0
    bad = (rng.random(200) < 0.3).astype(float)
    assert cheapest_not_clearly_worse(np.array([bad, good]), [1, 8], prompts) == 1
    assert cheapest_not_clearly_worse(np.array([slightly_less, good]), [1, 8], prompts) == 0
    assert cheapest_not_clearly_worse(np.array([good, good]), [4, 4], prompts) == 0


def test_the_most_accurate_plan_and_of_equals_the_cheapest() -> None:
    right, half = np.ones(10), np.arange(10) % 2.0
    assert most_accurate(np.array([half, right]), [1, 8]) == 1
    assert most_accurate(np.array([right, half, right]), [8, 1, 4]) == 2


def test_replicates_of_a_prompt_are_no_extra_evidence() -> None:
    # Plan 1 is better on one prompt of four, replayed 100 times: that is still one prompt.
    prompts = np.repeat(np.arange(4), 100)
    cheap = np.zeros(400)
    dear = (prompts == 0).astype(float)
    assert cheapest_not_clearly_worse(np.array([cheap, dear]), [1, 2], prompts) == 0
    assert cheapest_not_clearly_worse(np.array([cheap, dear]), [1, 2], np.arange(400)) == 1


@pytest.mark.slow
def test_bootstrap_intervals_cover() -> None:
    covered = 0
    for seed in range(200):
        values = (np.random.default_rng(seed).random(120) < 0.3).astype(float)
        _, low, high = mean_interval(values, np.arange(120), seed)
        covered += low <= 0.3 <= high
    assert covered / 200 > 0.88


@pytest.mark.parametrize("kept", [1.0, 0.4])
def test_intervals_are_percentile_bootstrap_intervals_over_prompts(kept: float) -> None:
    # scipy's bootstrap draws the same prompts; all have three values, or not equally many.
    rng = np.random.default_rng(0)
    some = rng.random(600) < kept
    prompts, values = np.repeat(np.arange(200), 3)[some], rng.random(600)[some]
    _, unit = np.unique(prompts, return_inverse=True)
    expected = bootstrap(
        (np.bincount(unit, values), np.bincount(unit)),
        lambda sums, counts, axis: sums.sum(axis) / counts.sum(axis),
        n_resamples=BOOTSTRAP_DRAWS,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    mean, low, high = mean_interval(values, prompts, 3)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_an_interval_of_equal_values_is_not_a_point() -> None:
    value, low, high = accuracy_interval(np.ones(20), np.arange(20))
    assert (value, high) == (1.0, 1.0)
    assert 0.8 < low < 1
    assert accuracy_interval(np.zeros(20), np.arange(20))[2] == pytest.approx(1 - low)
    # Sixteen entries each of 20 prompts, and one each of 16 others, tell little more.
    some = np.concatenate([np.repeat(np.arange(20), 16), np.arange(20, 36)])
    effective = 336**2 / (20 * 16**2 + 16)
    assert accuracy_interval(np.ones(336), some)[1] == pytest.approx(
        betaincinv(effective + 0.5, 0.5, 0.025)
    )


@pytest.mark.slow
def test_intervals_cover_where_nearly_all_is_right() -> None:
    # One question in thirty cannot be solved, the others are right nearly always: many data sets
    # have none of the former, and hardly any spread.
    covered = 0
    for seed in range(100):
        solvable = np.random.default_rng(seed).random(40) < 29 / 30
        _, low, high = accuracy_interval(np.where(solvable, 0.9998, 0.0), np.arange(40))
        covered += low <= 0.9998 * 29 / 30 <= high
    assert covered > 90


def test_records_survive_the_store(tmp_path: Path) -> None:
    plan = Plan(strategy="beam_search", n=4, beam_width=2)
    records = [graded_record(i, [True, False] * 4, {plan: [True] * 4}) for i in range(3)]
    write_records(records, tmp_path / "samples.parquet")
    read = read_records(tmp_path / "samples.parquet")
    assert [r.prompt for r in read] == [r.prompt for r in records]
    assert read[0].independent.correct == records[0].independent.correct
    assert read[0].repeats[0][plan].samples[0].steps == ((1, 2), (3,))
    assert read[0].repeats[0][plan].samples[0].score == pytest.approx(0.8)


def test_confidence_survives_the_store_and_old_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    record = graded_record(0, [True, False], {})
    read, unread = record.independent.samples
    read = replace(read, confidence=7.25, confidence_at=3)
    run = replace(record.independent, samples=(read, unread))
    write_records([replace(record, independent=run)], path)
    (again,) = read_records(path)
    assert [sample.confidence_at for sample in again.independent.samples] == [3, None]
    assert again.independent.samples[0].confidence == 7.25
    assert again.independent.samples[1].confidence is nan  # equal to that of other samples

    old = pq.read_table(path).drop_columns(["confidence", "confidence_at"])
    pq.write_table(old, path)
    assert read_records(path)[0].independent.samples[0] == replace(
        again.independent.samples[0], confidence=nan, confidence_at=None
    )


def test_a_missing_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="collect again"):
        read_records(tmp_path / "samples.parquet")


def test_replicates_take_every_sample_as_a_pilot_once() -> None:
    replay = Replay(
        [graded_record(0, [i % 3 == 0 for i in range(16)], {})], window=16, replicates=8
    )
    samples = replay.records[0].independent.samples
    pilots = [s for r in range(8) for s in rotated(samples, r, 2, replay.window, replay.replicates)]
    assert pilots == list(samples)


def test_difficulty_is_measured_on_solutions_that_are_not_replayed() -> None:
    replay = Replay([graded_record(0, [True] * 8 + [False] * 8, {})], window=8)
    assert replay.pass_at_1_by_prompt.tolist() == [0.0]
    assert replay.outcome(Plan(strategy="best_of_n", n=1), 0).correct.mean() == 1
    with pytest.raises(InputError, match="must be at most 8"):
        Replay([graded_record(0, [True] * 8, {})], window=9)


def test_outcomes_average_to_the_true_rate() -> None:
    replay = Replay(
        [graded_record(0, [True, False, False, False] * 4, {})], window=16, replicates=16
    )
    outcome = replay.outcome(Plan(strategy="best_of_n", n=1), 0)
    assert outcome.correct.mean() == pytest.approx(0.25)
    assert outcome.tokens.mean() == 3


def test_pilots_join_the_beams_and_are_paid_for() -> None:
    plan = Plan(strategy="beam_search", n=2, beam_width=2)
    replay = Replay([graded_record(0, [True] * 8, {plan: [False] * 2})], window=8)
    without, joined = replay.outcome(plan, 0), replay.outcome(plan, 4)
    assert without.correct.mean() == 0
    assert joined.correct.mean() == 1
    assert joined.tokens.mean() - without.tokens.mean() == 4 * 3


def test_a_search_that_was_not_collected_is_named() -> None:
    with pytest.raises(InputError, match="was not collected"):
        Replay([graded_record(0, [True] * 8, {})], 8).outcome(
            Plan(strategy="beam_search", n=2, beam_width=2), 0
        )


def _constant(correct: list[float], costs: list[float]) -> tuple[np.ndarray, ...]:
    ones = np.ones((len(costs), 50))
    cost = np.array(costs)[:, None] * ones
    return np.array(correct)[:, None] * ones, cost, 10 * cost, 30 * cost


def constant_curve(name: str, correct: list[float], costs: list[float]) -> Curve:
    return Curve(name, (16, 64), *_constant(correct, costs))


def test_gain_is_the_ratio_of_costs_at_equal_accuracy() -> None:
    draws = resamples(50)
    baseline = constant_curve("best-of-N", [0.6, 0.8], [16, 64])
    method = constant_curve("compute-optimal", [0.7, 0.9], [8, 24])
    # 0.8 lies half way between the method's 0.7 at 8 and 0.9 at 24: cost 16.
    assert saving_factor(baseline, 64, method, draws)[0] == pytest.approx(4)
    assert saving_factor(baseline, 64, method, draws, "tokens")[0] == pytest.approx(4)
    assert saving_factor(baseline, 64, method, draws, "flops")[0] == pytest.approx(4)
    # A dip and a lucky point are not a crossing: 0.9 at 4 pools with 0.5 at 8.
    lucky = Curve("lucky", (4, 8), *_constant([0.9, 0.5], [4, 8]))
    assert saving_factor(baseline, 64, lucky, draws)[0] == 0
    never = constant_curve("worse", [0.5, 0.7], [8, 24])
    assert saving_factor(baseline, 64, never, draws)[0] == 0


def test_curves_average_over_prompts() -> None:
    replay = Replay([graded_record(0, [True] * 8, {}), graded_record(1, [False] * 8, {})], 8)
    curve = plan_curve("pass@1", replay, [Plan(strategy="best_of_n", n=1)])
    value, low, high = accuracy(curve, 0, resamples(2))
    assert (value, low, high) == (0.5, 0.0, 1.0)


def test_a_store_goes_on_and_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    plan = Plan(strategy="beam_search", n=4, beam_width=2)
    records = [graded_record(i, [True, False] * 4, {plan: [True] * 4}) for i in range(5)]
    store = SampleStore(tmp_path / "s", {"seed": 1})
    for one in records[:3]:
        store.add(one)
    store.flush()
    # A run killed while it wrote leaves a partial file, which is no part.
    (tmp_path / "s" / "part-000001.parquet.partial").write_bytes(b"PAR1")
    again = SampleStore(tmp_path / "s", {"seed": 1})
    assert again.done == {r.prompt for r in records[:3]}
    for one in records[3:]:
        again.add(one)
    whole = SampleStore(tmp_path / "w", {"seed": 1})
    for one in records:
        whole.add(one)
    names = [r.prompt for r in records]
    assert [record.prompt for record in again.records()] == names
    assert again.records() == whole.records()
    with pytest.raises(InputError, match="made with other seed; remove them"):
        SampleStore(tmp_path / "s", {"seed": 2})
    # A run that ended before its first sample is in nobody's way.
    SampleStore(tmp_path / "n", {"seed": 1})
    assert not SampleStore(tmp_path / "n", {"seed": 2}).done
    again.remove()
    assert not (tmp_path / "s").exists()
    # Settings within settings are named, and nobody else's files are taken for a store's.
    cold, warm = ({"seed": 1, "sampling": {"top_p": 1.0, "temperature": t}} for t in (0.5, 1.0))
    store = SampleStore(tmp_path / "c", cold)
    store.add(records[0])
    store.flush()
    with pytest.raises(InputError, match="made with other temperature; remove them"):
        SampleStore(tmp_path / "c", warm)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "part-000000.parquet").write_text("mine")
    with pytest.raises(InputError, match=r"samples: .*it holds part-000000\.parquet, which is no"):
        SampleStore(tmp_path / "mine", {"seed": 1})


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [graded_record(i, [True, False] * 4, {}) for i in range(3)]
    store = SampleStore(tmp_path / "s", {"seed": 1})
    store.add(records[0])
    store.flush()
    for one in records[1:]:
        store.add(one)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(pq, "write_table", full)
        with pytest.raises(InputError, match=r"No space left.*nothing before it is lost"):
            store.flush()
    assert SampleStore(tmp_path / "s", {"seed": 1}).done == {records[0].prompt}
    # With room made, the same store writes what was waiting.
    store.flush()
    assert [r.prompt for r in store.records()] == [r.prompt for r in records]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written \(Not a directory\)"):
        SampleStore(tmp_path / "file" / "s", {})


def test_smoothing_borrows_from_neighbouring_bins() -> None:
    # Three bins of 20 prompts; the dear plan helps in all of them, in the middle one by bad luck
    # not. Alone, the middle bin takes the cheap plan; smoothed, it follows its neighbours.
    rng = np.random.default_rng(0)
    bins = np.repeat([0, 1, 2], 20)
    cheap = (rng.random(60) < 0.4).astype(float)
    dear = np.where(bins == 1, cheap, 1.0)
    binned = binned_outcomes(list(map(best_of, [1, 8])), np.array([cheap, dear]), bins, 3)
    assert by_bin(binned) == [1, 0, 1]
    assert smoothed(binned) == [1, 1, 1]


def test_the_greatest_is_taken_without_evidence() -> None:
    # The dear plan is better by one prompt of 60, the dearest by as good as nothing.
    bins = np.repeat([0, 1, 2], 20)
    cheap = np.where(np.arange(60) % 20 < 10, 1.0, 0.0)
    dear, dearest = cheap.copy(), cheap.copy()
    dear[19] = dearest[19] = 1
    dearest[39] = ALIKE / 2
    binned = binned_outcomes(
        list(map(best_of, [16, 1, 8])), np.array([dearest, cheap, dear]), bins, 3
    )
    assert by_bin(binned) == [1, 1, 1]
    # Smoothed, the middle bin has a quarter of the first one's prompt; the last one has nothing.
    assert greatest(binned) == [2, 2, 1]
    twins = np.array([cheap, dear, dear])
    assert greatest(binned_outcomes(list(map(best_of, [1, 8, 8])), twins, bins, 3)) == [1, 1, 0]
