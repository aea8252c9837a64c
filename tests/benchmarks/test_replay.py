"""The replay of thoughts: which samples are read, and how figures are made of curves."""

import json
from pathlib import Path

import numpy as np
import pytest

from allocator.errors import InputError
from benchmarks.logged import DATA
from benchmarks.pages import replay as page
from benchmarks.replay import __main__ as command
from benchmarks.replay.findings import row_of, targets_of
from benchmarks.replay.measure import CONSISTENT, OWN, UNIFORM, Measured, thoughts_of
from calibration.replay.adaptive_consistency import CONFIDENCES
from calibration.replay.curves import Curve, resamples
from calibration.replay.thinking_run import thinking_runs
from tests.support.logs import write

QUESTIONS = 20


def curve(
    name: str, budgets: tuple[float, ...], accuracy: list[float], tokens: list[float]
) -> Curve:
    """A curve that is the same for all questions."""
    right, spent = (np.repeat(np.array(v)[:, None], QUESTIONS, axis=1) for v in (accuracy, tokens))
    return Curve(name, budgets, right, spent, spent, 0 * spent)


def known(factor: float) -> Measured:
    """A policy that needs 1,000,000 / factor tokens for the baseline's 30%, on a straight line."""
    flat = [0.3] * len(CONFIDENCES)
    curves = [
        curve(UNIFORM, (1, 64), [0.1, 0.3], [1e4, 1e6]),
        curve(CONSISTENT, CONFIDENCES, flat, [5e5] * len(flat)),
        curve(OWN, (1e-6, 1e-7), [0.1, 0.5], [0.0, 2e6 / factor]),
    ]
    return Measured(("aime25",), {each.name: each for each in curves}, resamples(QUESTIONS))


def test_ratios_compare_tokens_at_equal_accuracy() -> None:
    found = row_of(known(4), "Qwen3-0.6B")
    assert found["ratios"][UNIFORM] == pytest.approx((4, 4, 4))
    assert found["ratios"][CONSISTENT] == pytest.approx((2, 2, 2))
    # AutoTTS's 21.8% takes 0.118 / 0.4 of the 500,000 tokens: 147,500, where it took 254,000.
    assert found["ratios"]["cheaper"][0] == pytest.approx(254 / 147.5)
    assert json.loads(json.dumps(found)) is not None


def test_targets_are_those_of_the_models_that_were_measured() -> None:
    both = {"Qwen3-0.6B": known(4), "Qwen3-1.7B": known(9)}
    rows = {target.name: target for target in targets_of(both)}
    alone = "Qwen3-0.6B: times fewer tokens than self-consistency with 64, at its accuracy"
    assert (rows[alone].met, rows[alone].target) == (True, 3.3)
    cheaper = "mean of Qwen3-0.6B and Qwen3-1.7B: times fewer tokens than AutoTTS, cheaper setting"
    # 147,500 and 158,900 tokens, where it took 254,000 and 344,000; the mean is geometric.
    assert rows[cheaper].value == pytest.approx((254 / 147.5 * 344 / 158.889) ** 0.5, rel=1e-4)
    reached = rows["Qwen3-1.7B: thousand tokens at an accuracy of 40%"]
    assert reached.value == pytest.approx(0.75 * 2e3 / 9)
    assert reached.met
    assert sum("mean of Qwen3-0.6B and Qwen3-1.7B" in name for name in rows) == 2
    other = {target.name: target for target in targets_of({"Qwen3-8B": known(2)})}
    name = "Qwen3-8B: times fewer tokens than self-consistency with 64, at its accuracy"
    assert other[name].met is False
    assert not any("mean" in name or "0.6B" in name for name in other)


def test_the_page_shows_each_model() -> None:
    rows = [row_of(known(4), "Qwen3-0.6B"), row_of(known(2), "Another")]
    shown = [page._row(row) for row in rows]
    assert shown[0][:4] == ["Qwen3-0.6B", "20", "30.0% at 1000k", "4.0 [4.0, 4.0]"]
    assert shown[1][-2:] == ["", ""]


def rows_of(model: str, benchmark: str) -> dict[str, object]:
    return {"model": model, "benchmark": benchmark, "question": "q", "answer": "1"}


def test_the_default_file_supplies_what_is_fitted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = write(
        tmp_path / "default.jsonl",
        [rows_of(m, b) for m in ("A", "B") for b in ("aime24", "aime25", "hmmt25")],
    )
    given = write(tmp_path / "given.jsonl", [rows_of("B", "hmmt25"), rows_of("A", "aime24")])
    monkeypatch.setattr(command, "DEFAULT", default)
    assert set(command.with_default([]).values()) == {default}
    assert command.with_default([given]) == {
        ("B", "hmmt25"): given,
        ("A", "aime24"): given,
        ("B", "aime24"): default,
    }
    sources = command.with_default([])
    every = {"A": ["aime25", "hmmt25"], "B": ["aime25", "hmmt25"]}
    assert command.reported_models(sources, "") == every
    assert list(command.reported_models(sources, "b")) == ["B"]
    with pytest.raises(InputError, match="one of a, b"):
        command.reported_models(sources, "c")


def test_self_consistency_is_that_of_the_published_figures() -> None:
    path = DATA / "qwen3_probes.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    right, spent = [], []
    for benchmark in ("aime25", "hmmt25"):
        whole = thoughts_of(path, "Qwen3-0.6B", benchmark)[0].unprobed().at_cap(None)
        runs = thinking_runs([whole], [np.ones(whole.answer.shape)], (64,), 20)
        right.append(runs.correct.mean())
        spent.append(runs.tokens.mean())
    assert np.mean(right) == pytest.approx(0.232, abs=0.01)
    assert np.mean(spent) == pytest.approx(914e3, rel=0.01)
