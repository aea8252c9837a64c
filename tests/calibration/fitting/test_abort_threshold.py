"""The threshold that ends lost solutions, on samples whose confidence is made up."""

from dataclasses import replace

import pytest

from calibration.fitting.abort_threshold import abort_threshold, fit_confidence
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.confidence import ConfidenceSettings
from predictors.sample import Sample
from predictors.scoring import Scoring
from tests.support.samples import make_sample

READ = ConfidenceSettings(window=10)
TOKENS = 40


def sample_of(confidence: float, at: int | None) -> Sample:
    """A sample of 40 tokens."""
    sample = make_sample("1", 0.5, steps=(tuple(range(TOKENS)),))
    return replace(sample, confidence=confidence, confidence_at=at)


def record_of(right: list[Sample], wrong: list[Sample]) -> PromptRecord:
    graded = (True,) * len(right) + (False,) * len(wrong)
    return PromptRecord("p", "1", 3, PlanRun((*right, *wrong), graded, 0), ({},))


def of(lowest: list[float], at: int | None = 10) -> list[Sample]:
    return [sample_of(value, at) for value in lowest]


def test_one_right_solution_of_fifty_may_be_ended() -> None:
    right = [1.0, 2.0, *(5.0 + i for i in range(48))]
    found = abort_threshold([record_of(of(right), of([0.5, 1.5, 1.9, 2.5], 30))], READ)
    # Below 2 lie one right solution of 50, and three of four wrong ones.
    assert found.threshold == 2.0
    # The right one would have ended after 10 tokens, the wrong ones after 30.
    assert found.saved == pytest.approx((30 + 3 * 10) / (54 * TOKENS))
    assert (found.top, found.window) == (READ.top, READ.window)


def test_prompts_are_taken_together() -> None:
    right = [3.0, *[9.0] * 98, 2.0]
    records = [record_of(of(right[:50]), []), record_of(of(right[50:]), of([1.0]))]
    # Two of 100 may be ended: the third lowest bounds it.
    assert abort_threshold(records, READ).threshold == 9.0


def test_solutions_shorter_than_the_window_are_never_ended() -> None:
    short, long = of([0.1] * 10, None), of([4.0] * 30)
    found = abort_threshold([record_of(short + long, of([0.2] * 5, None) + of([3.0] * 5))], READ)
    assert found.threshold == 4.0
    assert found.saved == pytest.approx(5 * 30 / (50 * TOKENS))


def test_there_is_none_that_ends_hardly_any_wrong_solution() -> None:
    right = of([2.0] * 10)
    assert abort_threshold([record_of(right, of([1.0] + [3.0] * 19))], READ).threshold == 2.0
    assert abort_threshold([record_of(right, of([1.0] + [3.0] * 20))], READ) == READ


def test_there_is_none_without_right_solutions_that_are_long_enough() -> None:
    assert abort_threshold([record_of(of([2.0] * 9, None), of([1.0] * 9))], READ) == READ
    assert abort_threshold([record_of([], of([1.0] * 9))], READ) == READ
    assert abort_threshold([record_of(of([2.0] * 9), [])], READ) == READ


def test_it_is_rounded_down() -> None:
    found = abort_threshold([record_of(of([2.34567] * 3), of([1.0] * 3))], READ)
    assert found.threshold == 2.3456


def test_confidence_that_neither_ends_nor_weighs_is_read_no_more() -> None:
    useless, useful = [record_of(of([1.0]), of([2.0]))], [record_of(of([2.0]), of([1.0]))]
    assert fit_confidence(useless, READ, Scoring()) is None
    assert fit_confidence(useless, READ, Scoring(confidence=0.2)) == READ
    assert fit_confidence(useful, READ, Scoring()).threshold == 2.0
