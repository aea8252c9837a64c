"""The demo: how its policy is chosen, its figures by hand, and what it shows and writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from allocator.plan import Plan
from benchmarks.demo import BASELINE, MARGIN, choose, read_test_prompts
from benchmarks.demo_figures import BUDGET, SMALLER, Prompt, measure
from benchmarks.demo_view import Tally, board, closing
from benchmarks.pages import demo as page
from benchmarks.testbed.paths import ARTIFACT
from calibration.replay.ways import PREDICTED, PRICE
from calibration.report.summary import Summary
from predictors.sample import Sample
from runtime.artifact import Artifact
from runtime.result import Receipt, Result
from tests.support.cli import assert_readable, invoke, rendered
from tests.support.samples import make_sample

PROMPTS = [Prompt(f"prompt {i}", "1", 1 - i / 10) for i in range(10)]


def result(prompt: Prompt, answer: str, generations: int, samples: list[Sample]) -> Result:
    receipt = Receipt(
        plan=Plan(strategy="best_of_n", n=generations),
        why="",
        prompt_tokens=3,
        generations=generations,
        sampled_tokens=10 * generations,
        cached_tokens=0,
        verifier_tokens=0,
        verifier_cached_tokens=0,
        flops=300.0 * generations,
        seconds=0.0,
    )
    return Result(
        prompt=prompt.text, answer=answer, solution="", score=1.0, receipt=receipt, ranked=samples
    )


# The policy spends 2 and is right on the first six; best-of-64 is right on the first eight, on two
# of these by a majority that few samples do not have.
POLICY = [result(p, "1" if i < 6 else "2", 2, []) for i, p in enumerate(PROMPTS)]
RIGHT, WRONG = make_sample("1", 0.5), make_sample("2", 0.5)
SAMPLES = [[RIGHT] * 64] * 6 + [[RIGHT] * 36 + [WRONG] * 28] * 2 + [[WRONG] * 64] * 2
PLAIN = [result(p, "1" if i < 8 else "2", 64, SAMPLES[i]) for i, p in enumerate(PROMPTS)]


def test_the_policy_is_the_cheapest_that_calibration_found_more_accurate() -> None:
    artifact, summary = Artifact.load(ARTIFACT), Summary.load(ARTIFACT)
    choice, wanted = choose(artifact, summary)
    curves = {curve.name: curve.points for curve in summary.groups[0].curves}
    (plain,) = [p for p in curves[BASELINE] if p.budget == BUDGET]
    assert wanted == plain.accuracy
    assert choice.accuracy >= wanted + MARGIN
    points: list[Any] = [*artifact.prices.points, *curves[PREDICTED]]
    assert choice.generations == min(p.generations for p in points if p.accuracy >= wanted + MARGIN)
    assert choice.name == PRICE
    assert choice.spend.average_budget == choice.generations < BUDGET


def test_no_method_that_reaches_the_baseline_is_refused() -> None:
    summary = Summary.load(ARTIFACT)
    first, *others = summary.groups[0].curves
    assert first.name == BASELINE
    perfect = first.model_copy(
        update={"points": tuple(p.model_copy(update={"accuracy": 1.0}) for p in first.points)}
    )
    group = summary.groups[0].model_copy(update={"curves": (perfect, *others)})
    with pytest.raises(ValueError, match="no method beats best-of-64"):
        choose(Artifact.load(ARTIFACT), summary.model_copy(update={"groups": (group,)}))


def test_the_figures_of_results_computed_by_hand() -> None:
    found = measure(PROMPTS, POLICY, PLAIN)
    assert [right["value"] for right in found["accuracy"]] == [0.6, 0.8]
    assert found["accuracy"][0]["low"] < 0.6 < found["accuracy"][0]["high"]
    for unit in ("generations", "tokens"):
        assert found["gains"][unit] == {"value": 32.0, "low": 32.0, "high": 32.0}, "64 over 2"
    assert found["difference"]["value"] == pytest.approx(-0.2)
    assert found["difference"]["low"] <= -0.4 <= found["difference"]["high"] == 0
    assert [p["generations"] for p in found["curve"]] == [*SMALLER, BUDGET]
    first, last = found["curve"][0]["value"], found["curve"][-1]["value"]
    assert first == pytest.approx(0.6 + 0.2 * 36 / 64, abs=0.03), "one sample: its chance"
    assert last == 0.8
    assert found["matched"]["value"] == 1, "one generation is as accurate as this policy"
    easiest, *_, hardest = found["difficulty"]
    assert easiest == {
        **{"prompts": 2, "pass_at_1": pytest.approx(0.95), "generations": 2},
        **{"accuracy": 1, "baseline": 1},
    }
    assert (hardest["accuracy"], hardest["baseline"]) == (0, 0)


def test_a_policy_that_best_of_n_does_not_reach_is_matched_by_its_whole_budget() -> None:
    perfect = [result(p, "1", 2, []) for p in PROMPTS]
    assert measure(PROMPTS, perfect, PLAIN)["matched"]["value"] == BUDGET


def test_what_is_shown_is_readable_and_counts_the_saving() -> None:
    tallies = Tally("policy: price, stopping early", 10), Tally("best-of-64 weighted", 10)
    assert_readable(rendered(board(tallies)))
    for right in range(10):
        tallies[0].add(right < 6, POLICY[right].receipt)
    for right in range(5):
        tallies[1].add(right < 4, PLAIN[right].receipt)
    text = rendered(board(tallies))
    assert_readable(text)
    assert "The policy has spent 16.0 times fewer generations already." in text
    assert "80.0%" in text
    assert "9.6e4" in text, "FLOPs of five times best-of-64"
    text = rendered(*closing(tallies, measure(PROMPTS, POLICY, PLAIN)))
    assert_readable(text)
    said = " ".join(text.split())
    assert "32.0 [32.0, 32.0] times fewer generations" in said
    assert "32.0 [32.0, 32.0] times fewer FLOPs" in said


@pytest.mark.slow
def test_the_demo_answers_prompts_and_writes_what_the_pages_are_made_of(tmp_path: Path) -> None:
    status, _, message = invoke(
        "demo", "--prompts", 6, "--out", tmp_path, "--engine", "transformers"
    )
    assert status == 0, message
    assert_readable(message[message.index("By true difficulty") :].rpartition("Wrote")[0])
    written = json.loads((tmp_path / "demo.json").read_text())
    assert written["prompts"] == 6
    policy, plain = written["methods"]
    assert plain["generations"] == BUDGET
    assert written["gains"]["generations"]["value"] == pytest.approx(64 / policy["generations"])
    names = [target["name"] for target in written["targets"]]
    assert names[-2:] == ["held-out test prompts", "seconds, after the install"]
    assert not any(t["met"] for t in written["targets"] if t["name"] == "held-out test prompts")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert policy["name"] in page.short(written)
    assert policy["flops"] > 0
    assert "FLOPs per prompt" in page.short(written)
    assert "By true difficulty" in page.full(written)


def test_more_prompts_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="choose from 1 to the 220 there are"):
        read_test_prompts(221)
