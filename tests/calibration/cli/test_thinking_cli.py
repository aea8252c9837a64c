"""Depths of thought on the command line: calibrated, shown and spent, with the thinking model."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.testbed.paths import BASE
from benchmarks.thinking.paths import ANSWERS, CALIBRATION_PROMPTS, TEST_PROMPTS
from benchmarks.thinking.paths import BASE as THINKER
from runtime.artifact import Artifact
from tests.support.cli import invoke, refused, solve

CAPS = (30, 80)


def calibrate(out: Path, prompts: Path, *more: object, model: Path = THINKER) -> list[object]:
    return [
        *("calibrate", prompts, "--out", out, "--model", model, "--engine", "transformers"),
        *("--answers", ANSWERS, "--step-end", r"\n", "--max-tokens", "500", "--bins", "2"),
        *("--budgets", "1,2,4", "--pilots", "1", *more),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinking")
    prompts = folder / "prompts.jsonl"
    lines = CALIBRATION_PROMPTS.read_text().splitlines()
    # The shorter a prompt, the shorter the model thinks.
    prompts.write_text("\n".join([line for line in lines if len(line) < 45][:20]))
    depths = ",".join(["off", *map(str, CAPS), "full"])
    status, _, message = invoke(
        *calibrate(folder / "artifact", prompts, "--thinking", depths, "--n-jobs", "1")
    )
    assert status == 0, message
    return folder / "artifact"


@pytest.mark.slow
def test_the_artifact_has_a_table_in_tokens_and_a_policy(made: Path) -> None:
    artifact = Artifact.load(made)
    assert artifact.settings.verifier is None
    assert artifact.tokens is not None
    rows = artifact.tokens.table.rows
    assert {row.unit for row in rows} == {"tokens"}
    depths = {cell.plan.thinking for row in rows for cell in row.cells}
    assert depths <= {0, *CAPS, None}
    accuracies = [row.cells[0].accuracy for row in rows if not row.edges]
    assert accuracies
    assert artifact.thinking is not None
    assert artifact.thinking.probes == CAPS
    assert all(point.tokens > 0 for point in artifact.thinking.prices)


@pytest.mark.slow
def test_it_is_shown(made: Path) -> None:
    status, out, message = invoke("inspect", made)
    assert status == 0, message
    assert "budgets in tokens" in " ".join(out.split())
    assert "thinking" in out or "without thought" in out
    page = (made / "report.html").read_text()
    assert "Budgets in tokens" in page


@pytest.mark.slow
def test_tokens_are_spent(made: Path) -> None:
    prompts = [json.loads(line)["prompt"] for line in TEST_PROMPTS.read_text().splitlines()[:6]]
    artifact = Artifact.load(made)
    assert artifact.tokens is not None
    assert artifact.thinking is not None
    least = artifact.tokens.table.rows[0].budget
    most = artifact.tokens.table.rows[-1].budget

    def spent(*how: object) -> list[dict[str, Any]]:
        command = ["solve", "--artifact", made, "--engine", "transformers", *how, *prompts]
        status, out, message = invoke(*command)
        assert status == 0, message
        return [json.loads(line)["receipt"] for line in out.splitlines()]

    short = sum(receipt["sampled_tokens"] for receipt in spent("--budget-tokens", least))
    long = sum(receipt["sampled_tokens"] for receipt in spent("--budget-tokens", most))
    assert short < long
    least_average = min(point.tokens for point in artifact.thinking.prices)
    cheap, dear = spent("--average-tokens", least_average), spent("--average-tokens", most)
    assert all(r["price_of_token"] > d["price_of_token"] for r, d in zip(cheap, dear, strict=True))
    assert sum(r["sampled_tokens"] for r in cheap) < sum(r["sampled_tokens"] for r in dear)
    assert sum(receipt["thinking_tokens"] for receipt in dear) > 0


def test_depths_that_cannot_be_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    for depths, says in (
        ("deep", "give off, full, or a number of tokens"),
        ("0,full", "give off, full, or a number of tokens"),
        ("full", "give at least two to choose among"),
        ("off,371,full", "thinking: [0, 371, None]: --max-tokens leaves room for depths up to 370"),
    ):
        message = refused(*calibrate(out, CALIBRATION_PROMPTS, "--thinking", depths))
        assert says in " ".join(message.split())
    message = refused(*calibrate(out, CALIBRATION_PROMPTS, "--thinking", "off,full", model=BASE))
    assert "no marks of thoughts" in " ".join(message.split())
    message = refused(*calibrate(out, CALIBRATION_PROMPTS, "--token-budgets", "50,90"))
    assert "go with --thinking" in " ".join(message.split())
    message = refused(
        *calibrate(out, CALIBRATION_PROMPTS, "--thinking", "off,full", "--token-budgets", "0,90")
    )
    assert "token-budgets: [0, 90]: give budgets of at least 1 token" in " ".join(message.split())
    message = refused(
        *calibrate(out, CALIBRATION_PROMPTS, "--strategies", "best_of_n,beam_search,dvts")
    )
    assert "they need a verifier" in " ".join(message.split())
    message = refused(
        *calibrate(out, CALIBRATION_PROMPTS, "--thinking", "off,full", "--thought-cutoff", "stop")
    )
    assert "must hold </think>" in " ".join(message.split())
    assert not out.exists()


def test_an_artifact_without_depths_says_so() -> None:
    for how in (["--budget-tokens", "50"], ["--average-tokens", "50"]):
        message = " ".join(refused(*solve(*how, "1+1")).split())
        assert "calibrate with --thinking" in message
        assert f"{how[0][2:].replace('-', '_')}: 50" in message
