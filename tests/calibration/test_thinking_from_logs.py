"""A log of thoughts, from the command that calibrates on it to the one that tests it."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.thinking.paths import BASE as THINKING
from calibration.data.sample_log import Log, read_log
from calibration.data.thoughts import Thoughts
from calibration.report.summary import Summary
from predictors.thinking_policy import read_thinking
from runtime.solving.thinking_rule import ThinkingRule
from tests.support.cli import TASK, invoke
from tests.support.logs import write
from tests.support.thoughts import EVERY, made_thoughts

SAMPLES = 8  # of a question
SCALE = 50  # tokens of a made token: thoughts beside which a probe is short


def made(seed: int) -> Thoughts:
    return made_thoughts(24, SAMPLES, seed).every(2 * EVERY)


def rows_of(thoughts: Thoughts) -> list[dict[str, Any]]:
    """A row per sample."""
    every = int(thoughts.probes[0])
    return [
        {
            "question": f"q{question}",
            "gold": "0",
            "answer": str(answer),
            "tokens": int(tokens) * SCALE,
            "probe_every": every * SCALE,
            "probes": [None if a < 0 else str(a) for a in forced[: int(tokens) // every].tolist()],
        }
        for question in range(len(thoughts.answer))
        for answer, tokens, forced in zip(
            thoughts.answer[question],
            thoughts.tokens[question],
            thoughts.forced[question],
            strict=True,
        )
    ]


@pytest.mark.slow
def test_a_log_of_thoughts_is_calibrated_reported_and_tested(tmp_path: Path) -> None:
    thoughts = made(seed=0)
    log, out = write(tmp_path / "log.jsonl", rows_of(thoughts)), tmp_path / "artifact"
    tables = ["--budgets", "1,2,4", "--pilots", "1", "--bins", "2"]
    status, _, shown = invoke("calibrate", "--from-logs", log, "--out", out, *tables)
    assert status == 0, shown
    assert "Caps on thinking tokens" in shown

    known: Log = read_log(log)
    policy = read_thinking(out)
    assert policy is not None
    probes = tuple(known.thoughts.probes.tolist())
    assert policy.probes in ((), probes)
    assert {*policy.caps} <= {*probes, None}
    rows = Summary.load(out).caps
    assert {row.cap for row in rows} >= set(policy.caps)
    uncut = next(row for row in rows if (row.cap, row.samples) == (None, 1))
    assert uncut.majority == pytest.approx((thoughts.answer == 0).mean(), abs=0.02)
    assert "Caps on thinking" in (out / "report.html").read_text()
    assert ThinkingRule.load(out, average_tokens=5000).price > 0

    # Models that are attached keep the policy over thoughts.
    served = tmp_path / "served"
    status, _, shown = invoke("attach", out, "--out", served, "--model", THINKING, *TASK)
    assert status == 0, shown
    assert read_thinking(served) == policy

    # Other questions, by other names.
    other = [row | {"question": f"new {row['question']}"} for row in rows_of(made(seed=1))]
    test = write(tmp_path / "test.jsonl", other)
    command = ["bench", "--from-logs", test, "--artifact", out, "--out", tmp_path / "bench"]
    status, _, shown = invoke(*command)
    assert status == 0, shown
    found = json.loads((tmp_path / "bench" / "bench.json").read_text())
    curve = next(c for c in found["curves"] if c["name"] == "thinking policy, by price")
    assert len(curve["points"]) == len(policy.prices)

    # Of fewer thoughts than the policy has at most.
    fewer = write(tmp_path / "fewer.jsonl", other[::2])
    status, _, shown = invoke("bench", "--from-logs", fewer, "--artifact", out, *command[5:])
    assert status == 0, shown
    up_to = max(stage for stage in policy.stages if stage <= SAMPLES // 2)
    words = f"measured up to {up_to} samples, not {policy.stages[-1]}."
    assert words in " ".join(shown.split())

    # Of answers forced at other depths, all else is measured.
    apart = [
        row | {"probe_every": row["probe_every"] + 7, "tokens": row["tokens"] + 7 * SCALE}
        for row in other
    ]
    test = write(tmp_path / "apart.jsonl", apart)
    status, _, shown = invoke("bench", "--from-logs", test, "--artifact", out, *command[5:])
    assert status == 0, shown
    assert "The policy over thoughts is not measured: it " in " ".join(shown.split())
    assert f"the log has answers at every {apart[0]['probe_every']}" in " ".join(shown.split())
    found = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert "thinking policy, by price" not in {c["name"] for c in found["curves"]}

    # Without the thoughts, that policy cannot be tested.
    plain = [{k: v for k, v in row.items() if "probe" not in k} for row in other]
    test = write(tmp_path / "plain.jsonl", plain)
    status, _, shown = invoke("bench", "--from-logs", test, "--artifact", out)
    assert status == 2
    assert "probe_every" in shown


@pytest.mark.slow
def test_a_split_says_that_it_does_not_measure_the_policy_over_thoughts(tmp_path: Path) -> None:
    both = [
        row | {"question": f"{seed} {row['question']}"}
        for seed in range(2)
        for row in rows_of(made(seed))
    ]
    log = write(tmp_path / "log.jsonl", both)
    split = ["--split", 0.5, "--splits", 1, "--budgets", "1,2", "--out", tmp_path / "bench"]
    status, _, shown = invoke("bench", "--from-logs", log, *split)
    assert status == 0, shown
    assert "The policy over thoughts is not measured by --split" in " ".join(shown.split())
