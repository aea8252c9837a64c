"""The benchmark for GPUs: what it says without one, and its measuring, on vLLM's CPU build."""

import asyncio
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.measure import measure, prompts_of
from benchmarks.testbed.paths import SETTINGS
from benchmarks.testbed.task import distinct_problems
from tests.support.paths import ROOT


@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--model", "nowhere", "--out", tmp_path]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={"CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 2
    assert "this benchmark needs an NVIDIA GPU" in done.stderr
    assert (done.stdout, list(tmp_path.iterdir())) == ("", [])


def test_prompts_say_what_to_do_and_where_the_answer_goes() -> None:
    (prompt, gold), *others = prompts_of(3)
    problem = distinct_problems("test", 1, 3)[0]
    assert (problem.text in prompt, gold) == (True, problem.answer)
    assert r"\boxed{}" in prompt
    assert len({prompt, *(other for other, _ in others)}) == 3


@pytest.mark.slow
@pytest.mark.vllm
def test_it_times_both_plans_and_compares_the_scores(classifier: Path) -> None:
    settings = SETTINGS.model_copy(update={"verifier": str(classifier)})
    prompts = [(p.text, p.answer) for p in distinct_problems("test", 6, seed=7)]
    data, targets = asyncio.run(measure(settings, prompts, 4))
    for run in data["runs"].values():
        assert run["sampled_tokens"] > 6 * 4
        assert (run["verifier_tokens"] > 0, len(run["correct"])) == (True, 6)
    assert data["runs"]["best-of-N"]["generations"] == 24
    assert data["compared_steps"] > 24
    figures = {target.name: target for target in targets}
    assert all(math.isfinite(target.value) for target in targets)
    assert figures["verifier scores, vLLM and transformers: mean difference"].value < 1e-4
    rate = figures["best-of-N: tokens per second"].value
    best = data["runs"]["best-of-N"]
    assert rate == pytest.approx(best["sampled_tokens"] / best["seconds"])
