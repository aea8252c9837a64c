"""Drift: no alarm while traffic is like calibration, a quick one when it is not."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import chi2, chi2_contingency

from allocator.drift import ALARM, CLEAR, MIN_PROMPTS, DriftMonitor, chi2_tail
from allocator.drift_baseline import DriftBaseline, Histogram
from allocator.errors import InputError

Prompt = dict[str, float]


@dataclass(frozen=True)
class World:
    """Prompts of which two pilots are taken, most of them easy or hard, seen from calibration.

    Attributes:
        drift_baseline: fitted on calibration prompts.
        edges: of the five bins, ascending in predicted pass@1.
        random: where live prompts come from.
    """

    drift_baseline: DriftBaseline
    edges: NDArray[np.float64]
    random: np.random.Generator

    def prompts(self, count: int) -> list[Prompt]:
        """Prompts like calibration's."""
        score, agreement, predicted = pilots(self.random, count)
        columns = (score, agreement, bins(self.edges, predicted))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [{"score": score, "agreement": share, "bin": b} for score, share, b in rows]

    def hard(self, count: int) -> list[Prompt]:
        """Prompts of the hardest bin."""
        return [prompt for prompt in self.prompts(20 * count) if prompt["bin"] == 5][:count]

    def monitor(self, seen: int = 150) -> DriftMonitor:
        """A monitor that has seen so many prompts like calibration's."""
        monitor = DriftMonitor(self.drift_baseline)
        for prompt in self.prompts(seen):
            monitor.observe(prompt)
        return monitor


def pilots(random: np.random.Generator, count: int) -> tuple[NDArray[np.float64], ...]:
    """Mean score, agreement and predicted pass@1 of prompts, shape (count,) each."""
    pass_at_1 = random.beta(0.5, 0.5, count)
    right = random.binomial(2, pass_at_1)
    noise = random.normal(0, 0.05, (2, count))
    score = np.clip((pass_at_1 + right / 2) / 2 + 2 * noise[0], 0, 1)
    answered = random.random(count) < 0.9
    agreement = np.maximum(right, answered) / 2
    return score, agreement, 0.5 * score + 0.3 * pass_at_1 + 0.2 * agreement + noise[1]


def bins(edges: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.int64]:
    return len(edges) + 1 - np.searchsorted(edges, predicted, side="right")


def world(seed: int, calibration: int = 400) -> World:
    random = np.random.default_rng(seed)
    score, agreement, predicted = pilots(random, calibration)
    edges = np.quantile(predicted, [0.2, 0.4, 0.6, 0.8])
    signals = {"score": score, "agreement": agreement, "bin": bins(edges, predicted)}
    return World(DriftBaseline.of(signals, calibration), edges, random)


def delay(monitor: DriftMonitor, prompts: list[Prompt], drifted: bool = True) -> int:
    """How many of the prompts it takes until the alarm is on, or off."""
    for number, prompt in enumerate(prompts, 1):
        monitor.observe(prompt)
        if monitor.drifted == drifted:
            return number
    raise AssertionError(f"nothing noticed in {len(prompts)} prompts")


def mixture(world: World, count: int = 400) -> list[Prompt]:
    """Half of the prompts from the hardest bin, the others as ever."""
    hard = world.random.random(count) < 0.5
    pairs = zip(hard, world.hard(count), world.prompts(count), strict=True)
    return [one if is_hard else other for is_hard, one, other in pairs]


@pytest.mark.slow
def test_at_most_1_percent_of_like_streams_raise_an_alarm() -> None:
    alarms = 0
    for seed in range(100):
        like = world(seed, calibration=60 if seed % 2 else 400)
        monitor = DriftMonitor(like.drift_baseline)
        raised = False
        for prompt in like.prompts(1000):
            monitor.observe(prompt)
            raised |= monitor.drifted
        alarms += raised
    assert alarms <= 1


def test_a_total_shift_is_noticed_within_30_prompts() -> None:
    low = {"score": 0.02, "agreement": 0.5, "bin": 5}
    delays = [delay(world(seed).monitor(), [low] * 30) for seed in range(60)]
    assert np.median(delays) <= 15


def test_a_stream_unlike_from_its_first_prompt_is_noticed_at_once() -> None:
    for seed in range(20):
        unlike = world(seed)
        assert delay(unlike.monitor(seen=0), unlike.hard(30)) == MIN_PROMPTS


@pytest.mark.slow
def test_half_of_the_prompts_hard_is_noticed_within_100() -> None:
    worlds = [world(seed) for seed in range(60)]
    delays = [delay(w.monitor(), mixture(w)) for w in worlds]
    assert np.median(delays) <= 60
    assert np.quantile(delays, 0.95) <= 100


@pytest.mark.slow
def test_the_alarm_ends_when_traffic_is_like_calibration_again() -> None:
    ends = []
    for seed in range(40):
        back = world(seed)
        monitor = back.monitor()
        for prompt in back.hard(100):
            monitor.observe(prompt)
        assert monitor.drifted
        prompts = back.prompts(300)
        ends.append(delay(monitor, prompts, drifted=False))
        for prompt in prompts[ends[-1] :]:
            monitor.observe(prompt)
            assert not monitor.drifted
    assert np.quantile(ends, 0.95) <= 150


def test_between_the_two_levels_the_alarm_stays_as_it_was() -> None:
    like = world(0)
    strict = like.monitor()
    was_between = False
    for prompt in mixture(like, 60):
        before = strict.drifted
        strict.observe(prompt)
        least = min(signal.p for signal in strict.report().signals)
        if ALARM < least <= CLEAR:
            was_between = True
            assert strict.drifted == before
    assert was_between


def test_the_report_says_what_is_unlike() -> None:
    monitor = world(0).monitor(seen=0)
    monitor.observe({"score": 0.5, "agreement": 1, "bin": 3})
    assert monitor.report().why == f"too few prompts to tell: 1 of {MIN_PROMPTS}"
    monitor = world(0).monitor()
    assert monitor.report().why == "like calibration"
    for _ in range(20):
        monitor.observe({"score": -1, "agreement": 0.5, "bin": 5})
    report = monitor.report()
    assert report.drifted
    assert report.prompts == 100
    assert [signal.name for signal in report.signals] == ["score", "agreement", "bin"]
    # The last quarter tells more than the whole window as yet.
    assert report.signals[0].prompts == 25
    scores, agreement, difficulty = report.why.split("; ")
    assert scores.startswith("pilot scores: 8")
    assert "% of the last 25 prompts are below " in scores
    assert scores.endswith(", 10% of calibration's were")
    assert "are from 0.5 to below 1, " in agreement
    assert difficulty.endswith("are 5 or above, 20% of calibration's were")


def test_the_statistic_is_the_two_sample_g_test() -> None:
    drift_baseline = DriftBaseline.of({"bin": [1] * 30 + [2] * 50 + [3] * 20}, prompts=100)
    monitor = DriftMonitor(drift_baseline)
    for number in [1] * 30 + [3] * 80 + [1] * 20:  # the last hundred: 20 and 80
        monitor.observe({"bin": number})
    expected = chi2_contingency([[30, 50, 20], [20, 0, 80]], lambda_="log-likelihood")
    (signal,) = monitor.report().signals
    assert signal.prompts == 100
    assert signal.freedom == expected.dof
    assert signal.statistic == pytest.approx(expected.statistic)
    assert signal.p == pytest.approx(expected.pvalue)


def test_a_small_reference_is_trusted_less() -> None:
    values = [1] * 60 + [2] * 40
    p = []
    for prompts in (20, 100):
        monitor = DriftMonitor(DriftBaseline.of({"bin": values}, prompts))
        for number in [1, 2] * 25:
            monitor.observe({"bin": number})
        p.append(monitor.report().signals[0].p)
    assert p[0] > p[1]


def test_a_value_that_calibration_never_had() -> None:
    monitor = DriftMonitor(DriftBaseline.of({"agreement": [0.5] * 50 + [1.0] * 50}, prompts=100))
    for _ in range(30):
        monitor.observe({"agreement": 0.0})
    assert "100% of the last 30 prompts are below 0.5, 0% of" in monitor.report().why


def test_a_prompt_that_is_repeated_counts_once_within_the_window() -> None:
    monitor = DriftMonitor(DriftBaseline.of({"bin": [1] * 50 + [2] * 50}, prompts=100))
    for number in range(40):
        monitor.observe({"bin": 1 + number % 2}, number)
        monitor.observe({"bin": 1}, "probe")
    assert monitor.report().prompts == 41
    assert not monitor.drifted
    for number in range(100, 200):
        monitor.observe({"bin": 2}, number)
    assert monitor.report().signals[0].excess.startswith("100%")
    monitor.observe({"bin": 1}, "probe")  # it had left the window
    assert not monitor.report().signals[0].excess.startswith("100%")


def test_an_alarm_ends_though_there_are_few_different_prompts() -> None:
    monitor = DriftMonitor(DriftBaseline.of({"bin": [1] * 50 + [2] * 50}, prompts=100))
    for number in range(100):
        monitor.observe({"bin": 1}, number)
    assert monitor.drifted
    for number in range(300):
        monitor.observe({"bin": 1 + number % 2}, f"like calibration's {number % 50}")
    assert not monitor.drifted
    assert monitor.report().prompts == 50


def test_a_signal_that_is_always_the_same_says_nothing() -> None:
    monitor = DriftMonitor(DriftBaseline.of({"score": [1.0] * 50}, prompts=50))
    for _ in range(30):
        monitor.observe({"score": 1.0})
    (signal,) = monitor.report().signals
    assert (signal.statistic, signal.freedom, signal.p) == (0, 0, 1)


@given(st.floats(0, 500), st.integers(1, 12))
def test_the_tail_is_that_of_the_chi_square_distribution(x: float, freedom: int) -> None:
    assert chi2_tail(x, freedom) == pytest.approx(chi2.sf(x, freedom), rel=1e-9)


def test_few_values_have_a_cell_each_and_many_have_deciles() -> None:
    drift_baseline = DriftBaseline.of(
        {"bin": [1, 1, 1, 5], "score": np.linspace(0, 1, 1001)[:1000]}, 4
    )
    assert drift_baseline.signals["bin"] == Histogram(edges=(1, 5), shares=(0, 0.75, 0.25))
    assert len(drift_baseline.signals["score"].edges) == 9
    assert drift_baseline.signals["score"].shares == pytest.approx([0.1] * 10)


def test_ties_at_a_decile_are_merged() -> None:
    values = [0.0] * 50 + list(np.linspace(0.1, 1, 50))
    histogram = DriftBaseline.of({"score": values}, 100).signals["score"]
    assert len(histogram.edges) == 6
    assert histogram.shares[:2] == (0, 0.5)


def test_saved_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "drift_baseline.json"
    drift_baseline = world(0).drift_baseline
    drift_baseline.save(path)
    assert DriftBaseline.load(path) == drift_baseline
    assert [p.name for p in tmp_path.iterdir()] == ["drift_baseline.json"]


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json.*no such file"):
        DriftBaseline.load(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema_version": 2, "prompts": 1, "signals": {}}',
        '{"schema_version": 1}',
        "\xff",
    ],
)
def test_a_damaged_reference_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "drift_baseline.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="calibrate again"):
        DriftBaseline.load(path)


@pytest.mark.parametrize(
    ("edges", "shares"),
    [((), (1,)), ((1, 1), (0, 0, 1)), ((2, 1), (0, 0, 1)), ((1,), (1,)), ((1,), (0.5, 0.6))],
)
def test_an_inconsistent_histogram_is_refused(
    edges: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    with pytest.raises(ValidationError):
        Histogram(edges=edges, shares=shares)


@pytest.mark.parametrize(
    ("signals", "prompts", "field"),
    [
        ({}, 1, "signals"),
        ({"score": []}, 1, "prompts"),
        ({"score": [0.5]}, 2, "prompts"),
        ({"score": [0.5]}, 0, "prompts"),
        ({"score": [0.5, float("nan")]}, 2, "score"),
    ],
)
def test_signals_that_say_nothing_are_refused(
    signals: dict[str, list[float]], prompts: int, field: str
) -> None:
    with pytest.raises(InputError) as error:
        DriftBaseline.of(signals, prompts)
    assert error.value.field == field


@pytest.mark.parametrize("values", [{}, {"score": 0.5}, {"bin": 1, "x": 1}, {"bin": float("nan")}])
def test_a_prompt_of_other_signals_is_refused_and_leaves_no_trace(values: Prompt) -> None:
    monitor = DriftMonitor(DriftBaseline.of({"bin": [1, 2]}, 2))
    with pytest.raises(InputError):
        monitor.observe(values)
    assert monitor.report().prompts == 0
