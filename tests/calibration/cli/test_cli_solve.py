"""``ttc solve``: what may be spent, on the command line."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.testbed.paths import ARTIFACT
from benchmarks.testbed.task import distinct_problems
from calibration.progress import console
from runtime.artifact import Artifact
from runtime.engines.environment import has_gpu
from runtime.solving.metrics import Metrics
from runtime.solving.solve import Solver
from tests.support.cli import invoke, refused, solve

PROMPTS = [problem.text for problem in distinct_problems("test", 8, seed=51)]


def receipts(*arguments: object) -> list[dict[str, Any]]:
    status, out, message = invoke(*solve(*arguments, *PROMPTS))
    assert status == 0, message
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["prompt"] for answer in answers] == PROMPTS
    return [answer["receipt"] for answer in answers]


@pytest.mark.slow
def test_a_total_is_never_exceeded_and_repeats_itself() -> None:
    found = receipts("--total-budget", "24", "--seed", "3")
    assert 8 <= sum(receipt["generations"] for receipt in found) <= 24
    assert {receipt["budget"] for receipt in found} == {None}
    again = receipts("--total-budget", "24", "--seed", "3")
    assert [r["generations"] for r in again] == [r["generations"] for r in found]


@pytest.mark.slow
def test_an_average_has_a_price() -> None:
    found = receipts("--average-budget", "2.5")
    costs = Artifact.load(ARTIFACT).prices.schedule.costs
    assert all(receipt["price"] > 0 for receipt in found)
    assert {receipt["generations"] for receipt in found} <= set(costs)
    # Eight prompts in flight at once start at about one price.
    dear = receipts("--average-budget", "1")
    assert max(r["price"] for r in found) < min(r["price"] for r in dear)


@pytest.mark.slow
def test_a_deadline_takes_a_plan_that_was_quick_enough() -> None:
    latency = Artifact.load(ARTIFACT).latency
    seconds = sorted(timed.seconds for timed in latency.timed)[len(latency.timed) // 2]
    found = receipts("--budget", "16", "--deadline", str(seconds))
    for receipt in found:
        assert receipt["deadline"] == seconds
        assert receipt["generations"] <= 16
        assert "s left no plan that fits was more accurate" in receipt["why"]
    tiny = receipts("--budget", "16", "--deadline", "0.000001")
    assert {receipt["generations"] for receipt in tiny} == {1}


@pytest.mark.slow
def test_what_each_model_got_is_one_line_on_standard_error() -> None:
    before = logging.getLogger("ttc.models").handlers[:]
    status, _, message = invoke(*solve("--budget", "1", "1+2"))
    assert status == 0, message
    device = "cuda" if has_gpu() else "cpu"
    (line,) = [line for line in message.splitlines() if line.startswith("models:")]
    verifier = f"{device}:0" if device == "cuda" else device
    expected = f"model base: transformers on {device}; verifier prm: transformers on {verifier}"
    assert line == f"models: {expected}"
    assert logging.getLogger("ttc.models").handlers == before


@pytest.mark.slow
def test_metrics_are_written(tmp_path: Path) -> None:
    path = tmp_path / "ttc.prom"
    found = receipts("--average-budget", "2", "--metrics", path)
    families = text_string_to_metric_families(path.read_text())
    series = {s.name: s.value for family in families for s in family.samples if len(s.labels) == 0}
    assert series["ttc_generations_total"] == sum(receipt["generations"] for receipt in found)
    assert series["ttc_prompt_seconds_count"] == len(PROMPTS)
    assert series["ttc_price"] > 0
    assert [p.name for p in tmp_path.iterdir()] == ["ttc.prom"]


@pytest.mark.slow
def test_metrics_that_cannot_be_written_leave_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Metrics, "write", full)
    out = tmp_path / "solved.jsonl"
    with pytest.raises(OSError, match="no space left"):
        invoke(*solve("--budget", "1", "--out", out, "--metrics", tmp_path / "p", PROMPTS[0]))
    assert json.loads(out.read_text())["prompt"] == PROMPTS[0]


@pytest.mark.slow
def test_drift_is_told_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # The longest chains alone: far harder than calibration's.
    hard = [p.text for p in distinct_problems("test", 400, seed=52) if len(p.operations) == 8][:40]
    monkeypatch.setattr(console, "width", 400)
    status, out, message = invoke(*solve("--average-budget", "1", *hard))
    assert status == 0, message
    assert "warning: drift: " in message
    assert "of calibration's were" in message
    assert len(out.splitlines()) == len(hard)


@pytest.mark.slow
def test_a_failure_in_a_total_leaves_the_other_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from allocator.errors import ModelError

    advance = Solver._advance

    async def fails_on_one(self: Solver, adaptive_run: Any) -> None:
        if adaptive_run.prompt_run.prompt == PROMPTS[2]:
            raise ModelError("engine", "it has died")
        await advance(self, adaptive_run)

    monkeypatch.setattr(Solver, "_advance", fails_on_one)
    status, out, message = invoke(*solve("--total-budget", "16", *PROMPTS))
    assert status == 1
    assert "1 of 8 prompts failed: engine: it has died" in " ".join(message.split())
    lines = [json.loads(line) for line in out.splitlines()]
    assert ["error" in line for line in lines] == [i == 2 for i in range(8)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ([], "budget: None: give one of: a budget for each prompt, or an average"),
        (["--budget", "0"], "budget: 0: must be 1 or more generations"),
        (["--total-budget", "0"], "total_budget: 0: 8 prompts cost 1 each at least"),
        (["--average-tokens", "0"], "average_tokens: 0.0: "),
        (["--budget", "-4"], "must be 1 or more"),
        (["--budget", "4", "--total-budget", "9"], "{'budget': 4, 'total_budget': 9}: give one of"),
        (["--average-budget", "4", "--total-budget", "9"], "give one of"),
        (["--average-budget", "0.5"], "average_budget: 0.5: must be 1 or more"),
        (["--total-budget", "7"], "total_budget: 7: 8 prompts cost 1 each at least"),
        (["--total-budget", "-7"], "total_budget: -7: 8 prompts cost 1 each at least"),
        (["--average-budget", "2", "--deadline", "1"], "deadline: 1.0: it goes with a budget"),
        (["--budget", "4", "--deadline", "0"], "must be a positive number"),
        (["--budget", "4", "--early-stop", "0.5"], "a probability above 0.5"),
        (["--budget", "4", "--early-stop", "1.5"], "early_stop: 1.5: a probability above 0.5"),
        (["--average-budget", "2", "--early-stop", "7"], "early_stop: 7.0: a probability above"),
        (["--average-budget", "2", "--early-stop", "1"], "it goes with a budget for each prompt"),
        (["--total-budget", "9", "--early-stop", "1"], "it goes with a budget for each prompt"),
        (
            ["--budget", "4", "--plan", "beam_search:4:2", "--early-stop", "1"],
            "best-of-n ends early, and beam search N=4 M=2 does not",
        ),
        (["--budget", "4", "--plan", "best_of_n:8"], "budget: 4: best-of-8 costs 8; allow that"),
        (["--budget", "4", "--deadline", "1", "--early-stop", "1"], "early stop takes longer than"),
        (["--budget", "4", "--deadline", "1", "--plan", "best_of_n:4"], "do not fix one as well"),
        (["--total-budget", "9", "--plan", "best_of_n:4"], "a plan goes with a budget for each"),
        (["--average-budget", "2", "--plan", "best_of_n:2"], "a plan goes with a budget for each"),
        (["--budget", "4", "--metrics", "nowhere/ttc.prom"], "a file in a folder that exists"),
        (["--budget", "4", "--metrics", "."], "metrics: '.': give a file in a folder that exists"),
        (["--budget", "4", "--metrics", "/proc/ttc.prom"], "metrics: '/proc/ttc.prom': cannot be"),
        (["--budget", "4", "--out", "nowhere/out.jsonl"], "a file in a folder that exists"),
        (["--budget", "4", "--out", "a", "--metrics", "./a"], "is the file of --out"),
    ],
)
def test_what_cannot_be_spent_is_refused_before_a_model_is_loaded(
    options: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object) -> None:
        pytest.fail("a model is loaded")

    monkeypatch.setattr("calibration.cli.solve.open_models", loaded)
    monkeypatch.chdir(tmp_path)
    assert hint in " ".join(refused(*solve(*options, *PROMPTS)).split())
