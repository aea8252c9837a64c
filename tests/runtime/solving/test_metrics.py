"""Prometheus metrics, read back by Prometheus's own parser."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from allocator.plan import Plan, Strategy
from runtime.result import Receipt
from runtime.solving.metrics import Metrics

Series = dict[tuple[str, ...], float]


def written(metrics: Metrics, folder: Path) -> Series:
    """Every series of the file that `metrics` writes, by its name and its labels' values."""
    metrics.write(folder / "ttc.prom")
    assert [path.name for path in folder.iterdir()] == ["ttc.prom"]
    families = text_string_to_metric_families((folder / "ttc.prom").read_text())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def receipt(
    strategy: Strategy, generations: int, sampled: int, thinking: int, seconds: float
) -> Receipt:
    return Receipt(
        plan=Plan(strategy=strategy, n=generations),
        why="",
        prompt_tokens=3,
        generations=generations,
        sampled_tokens=sampled,
        thinking_tokens=thinking,
        cached_tokens=0,
        verifier_tokens=0,
        verifier_cached_tokens=0,
        flops=10.0 * sampled if thinking else None,
        seconds=seconds,
    )


def test_answers_and_failures_are_counted(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.answered(receipt("best_of_n", 8, 300, 250, 0.2))
    metrics.answered(receipt("best_of_n", 4, 100, 60, 0.4))
    metrics.answered(receipt("dvts", 18, 900, 0, 600.0))
    metrics.failed()
    series = written(metrics, tmp_path)
    assert series["ttc_prompts_total", "best_of_n"] == 2
    assert series["ttc_prompts_total", "dvts"] == 1
    assert series[("ttc_generations_total",)] == 30
    assert series[("ttc_sampled_tokens_total",)] == 1300
    assert series[("ttc_thinking_tokens_total",)] == 310
    assert series[("ttc_flops_total",)] == 4000
    assert series[("ttc_failures_total",)] == 1
    assert series["ttc_prompt_seconds_bucket", "0.25"] == 1
    assert series["ttc_prompt_seconds_bucket", "500.0"] == 2
    assert series["ttc_prompt_seconds_bucket", "+Inf"] == 3
    assert series[("ttc_prompt_seconds_sum",)] == pytest.approx(600.6)


def test_gauges_hold_the_last_value(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.drift(True, {"score": 1e-9, "bin": 0.2})
    metrics.price(0.01)
    series = written(metrics, tmp_path)
    assert series[("ttc_drift",)] == 1
    assert series["ttc_drift_p_value", "score"] == 1e-9
    assert series[("ttc_price",)] == 0.01
    metrics.drift(False, {"score": 0.5, "bin": 0.3})
    series = written(metrics, tmp_path)
    assert series[("ttc_drift",)] == 0
    assert series["ttc_drift_p_value", "score"] == 0.5


def test_a_watched_gauge_is_read_when_the_metrics_are(tmp_path: Path) -> None:
    metrics, waiting = Metrics(), [1, 2]
    metrics.watch("waiting", "What waits", lambda: len(waiting))
    assert written(metrics, tmp_path)[("ttc_waiting",)] == 2
    waiting.pop()
    assert written(metrics, tmp_path)[("ttc_waiting",)] == 1


def test_each_keeps_its_own_account(tmp_path: Path) -> None:
    Metrics().failed()
    assert written(Metrics(), tmp_path)[("ttc_failures_total",)] == 0
