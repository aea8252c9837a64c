"""Samples that are like the log's, and samples that are not."""

from typing import Any

import numpy as np
import pytest

from allocator.drift import compare_signals
from allocator.drift_baseline import DriftBaseline
from allocator.errors import InputError
from calibration.attaching.check import Check, Comparison, compare
from calibration.data.logged_figures import Figure, LoggedFigures
from calibration.data.sample_log import Log
from calibration.sampling.collect import PlanRun, PromptRecord, Work, collect
from runtime.artifact import Artifact
from tests.support.artifacts import RIGHT, bent_models, bent_prompts
from tests.support.fakes import COIN_SETTINGS
from tests.support.logs import made_log


def test_the_figures_of_a_log_are_over_its_questions() -> None:
    log = made_log(40, 8)
    found = LoggedFigures.of(log)
    right = (log.answer == 0).mean(1)
    assert found.questions == 40
    assert found.pass_at_1.mean == pytest.approx(right.mean())
    assert found.pass_at_1.error == pytest.approx(right.std(ddof=1) / np.sqrt(40))
    assert found.tokens.mean == pytest.approx(log.tokens.mean())
    assert found.pass_at_1.high - found.pass_at_1.low == pytest.approx(
        2 * 1.96 * found.pass_at_1.error
    )


def test_questions_of_different_sizes_count_the_same() -> None:
    log = made_log(3, 4)
    answer = np.array([[0, 0, 0, 0], [0, 1, -1, -1], [1, 1, 1, -1]])
    tokens = np.array([[10.0] * 4, [20.0, 40.0, 0.0, 0.0], [30.0, 30.0, 30.0, 0.0]])
    ragged = Log("r", "0", answer, log.scores, tokens, 0, counts=np.array([4, 2, 3]))
    found = LoggedFigures.of(ragged)
    assert found.pass_at_1.mean == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.tokens.mean == pytest.approx((10 + 30 + 30) / 3)


def test_shares_that_are_all_equal_are_not_known_exactly() -> None:
    assert Figure.of_shares([1.0] * 20) == Figure(mean=1.0, error=0.025)
    assert Figure.of([7.0] * 20).error == 0


def test_the_test_of_a_mean() -> None:
    # 0.12 at a standard error of 0.05: z = 2.4.
    found = Comparison("pass@1", Figure(mean=0.31, error=0.03), Figure(mean=0.43, error=0.04))
    assert found.p == pytest.approx(0.0164, abs=1e-4)
    assert str(found) == "pass@1 here 31% [25%, 37%], in the log 43% [35%, 51%]"
    same = Figure(mean=5, error=0)
    assert Comparison("tokens", same, same).p == 1
    assert Comparison("tokens", same, Figure(mean=6, error=0)).p == 0


def test_the_threshold_is_shared_by_all_tests() -> None:
    def of(difference: float) -> Check:
        pair = Figure(mean=0.5, error=0.1), Figure(mean=0.5 + difference, error=0.0)
        return Check((Comparison("pass@1", *pair), Comparison("tokens", *pair)), ())

    assert of(0.0).alarm == 0.005
    # Half a percent, two-sided: z = 2.81.
    assert of(0.280).differences == []
    assert len(of(0.282).differences) == 2
    assert "scores were not compared" in of(0.0).lines[-1]


def test_all_prompts_are_tested_at_once() -> None:
    rng = np.random.default_rng(1)
    baseline = DriftBaseline.of({"score": rng.random(400), "bin": rng.integers(1, 4, 400)}, 400)

    def least(power: float) -> float:
        prompts = [
            {"score": float(rng.random() ** power), "bin": float(rng.integers(1, 4))}
            for _ in range(32)
        ]
        return min(signal.p for signal in compare_signals(baseline, prompts))

    # At a threshold of 1% over both tests, about 1% of checks of traffic like it.
    assert sum(least(1.0) < 0.005 for _ in range(300)) <= 9
    assert sum(least(5.0) < 0.005 for _ in range(20)) == 20
    with pytest.raises(InputError, match="signals"):
        compare_signals(baseline, [{"score": 0.5}])


@pytest.fixture
def records(tokenizer: Any, run: Any, bent: Artifact) -> list[PromptRecord]:
    """Samples of 40 prompts like those that the artifact was calibrated on."""
    models = bent_models(tokenizer, scoring=bent.scoring)
    graded = [(prompt, RIGHT) for prompt in bent_prompts(40, seed=9)]
    found: list[PromptRecord] = run(
        collect(models, COIN_SETTINGS, graded, Work(4, (), models.scoring, seed=2))
    )
    return found


def figures_of(records: list[PromptRecord]) -> LoggedFigures:
    right = [np.mean(record.independent.correct) for record in records]
    lengths = [record.independent.sampled_tokens / 4 for record in records]
    return LoggedFigures(
        questions=len(records), pass_at_1=Figure.of_shares(right), tokens=Figure.of(lengths)
    )


@pytest.mark.slow
def test_samples_are_compared_with_what_the_artifact_knows(
    bent: Artifact, records: list[PromptRecord]
) -> None:
    found = compare(bent, figures_of(records), records)
    assert [one.p for one in found.comparisons] == [1, 1]
    assert found.differences == []
    assert [signal.name for signal in found.signals] == ["score", "agreement", "bin"]
    assert len(found.lines) == 5
    assert compare(bent, figures_of(records), records[:19]).signals == ()


@pytest.mark.slow
def test_another_model_is_told_from_the_log(bent: Artifact, records: list[PromptRecord]) -> None:
    worse = [
        PromptRecord(
            r.prompt,
            r.gold,
            r.prompt_tokens,
            PlanRun(r.independent.samples, (False,) * 4, 500),
            ({},),
        )
        for r in records
    ]
    found = compare(bent, figures_of(records), worse)
    assert [one.name for one in found.comparisons if one.p < found.alarm] == [
        "pass@1",
        "tokens per sample",
    ]
    assert found.differences[0].startswith("pass@1 here 0% [0%, 2%], in the log")
