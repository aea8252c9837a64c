"""Calibration with a wide grid: every search on some prompts, those that led on the others."""

import json
from pathlib import Path

import pytest

from allocator.plan import Plan
from benchmarks.testbed.task import distinct_problems
from calibration.sampling.store import read_records
from runtime.artifact import SAMPLES, Artifact
from tests.support.cli import MODELS, TASK, invoke

RACED = 4


@pytest.mark.slow
def test_only_searches_that_led_are_run_on_every_prompt(tmp_path: Path) -> None:
    prompts, artifact = tmp_path / "graded.jsonl", tmp_path / "artifact"
    rows = [
        {"prompt": p.text, "answer": p.answer} for p in distinct_problems("calibration", 20, 31)
    ]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, _, message = invoke(
        *("calibrate", prompts, "--out", artifact, *MODELS, *TASK),
        *("--budgets", "1,4", "--pilots", "1", "--runs", "2", "--bins", "2"),
        *("--strategies", "best_of_n,beam_search,dvts", "--beam-widths", "every"),
        *("--lookahead", "1", "--race", RACED),
    )
    assert status == 0, message
    records = read_records(artifact / SAMPLES)
    assert all({*record.repeats[0]} == {*record.repeats[1]} for record in records)
    of_all = {plan for record in records for plan in record.repeats[0]}
    of_each = {plan for plan in of_all if all(plan in record.repeats[0] for record in records)}
    assert {4} == {plan.n for plan in of_all if plan.beam_width == 4}
    assert {plan.lookahead for plan in of_all} == {0, 1}
    assert sum(of_all <= {*record.repeats[0]} for record in records) == RACED
    for cost in (2, 4):
        assert 1 <= sum(plan.cost(0) == cost for plan in of_each) <= 3
    loaded = Artifact.load(artifact)
    considered: set[Plan] = {p for curves in loaded.curves.curves for p in curves.plans}
    assert {plan for plan in considered if plan.strategy != "best_of_n"} == of_each
