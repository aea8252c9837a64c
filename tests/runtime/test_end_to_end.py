"""The whole path through real models: policy, both engines, calibration and the command line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from allocator.errors import ModelError
from allocator.plan import Plan, parse_plan
from benchmarks.testbed.paths import ARTIFACT, REQUEST_SETTINGS, REVISER, REVISER_ORM, SETTINGS
from benchmarks.testbed.task import Problem, distinct_problems
from predictors.features import pilot_features
from predictors.sample import Sample
from runtime.answers.selection import select
from runtime.artifact import Artifact
from runtime.concurrency import bounded, together
from runtime.model_calls import Cost
from runtime.models import Models, open_models
from runtime.prompt_run import PromptRun
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver
from runtime.strategies import STRATEGIES
from runtime.verifiers.base import Context, Verdict
from tests.support.fakes import SumVerifier, coin_run
from tests.support.fork_server import ForkedScript
from tests.support.paths import SCRIPTS

PROBLEMS = distinct_problems("test", 60, seed=21)
REVISED = PROBLEMS[:30]


def solver(models: Models, seed: int = 0, fixed: Plan | None = None) -> Solver:
    return Solver(models, Artifact.load(ARTIFACT), seed, fixed)


async def accuracies(models: Models, plan: Plan, seeds: range) -> np.ndarray:
    """Share of seeds with which the plan answers right, a value a problem."""

    async def one(problem: Problem) -> float:
        right = []
        for seed in seeds:
            run = PromptRun(models, REQUEST_SETTINGS, problem.text, seed)
            samples = await run.canonicalize(await STRATEGIES[plan.strategy](run, plan, ()))
            right.append(select(samples).answer == problem.answer)
        return float(np.mean(right))

    return np.array(await bounded(one, PROBLEMS, 30))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(strategy="best_of_n", n=4),
        Plan(strategy="beam_search", n=4, beam_width=2, lookahead=1),
        Plan(strategy="dvts", n=4, beam_width=2),
    ],
    ids=str,
)
def test_a_plan_is_as_accurate_through_either_engine(
    run: Any, vllm_models: Models, transformers_models: Models, plan: Plan
) -> None:
    through_vllm = run(accuracies(vllm_models, plan, range(1)))
    through_transformers = run(accuracies(transformers_models, plan, range(1)))
    difference = through_vllm - through_transformers
    # 60 problems: a broken engine (wrong positions, wrong mask) is off by far more.
    assert abs(difference.mean()) < 0.1
    assert np.all(difference == 0) or ttest_rel(through_vllm, through_transformers).pvalue > 0.001
    assert 0.2 < through_vllm.mean() < 1


@pytest.mark.slow
def test_more_compute_is_more_accurate(run: Any, transformers_models: Models) -> None:
    single = run(accuracies(transformers_models, Plan(strategy="best_of_n", n=1), range(2)))
    sixteen = run(accuracies(transformers_models, Plan(strategy="best_of_n", n=16), range(2)))
    assert sixteen.mean() > single.mean() + 0.05


def test_solving_with_vllm_keeps_within_the_budget_and_says_so(
    run: Any, vllm_models: Models
) -> None:
    prompts = [problem.text for problem in PROBLEMS[:20]]
    budget = 16
    results = run(solver(vllm_models).solve_all(prompts, Spend(budget)))
    assert [result.prompt for result in results] == prompts
    policy = Artifact.load(ARTIFACT).policy
    for result in results:
        receipt, row = result.receipt, policy.row(budget)
        assert receipt.generations == receipt.plan.cost(receipt.pilots) <= budget
        assert receipt.pilots <= row.pilots
        assert receipt.plan in [cell.plan for cell in row.cells]
        assert receipt.sampled_tokens > 0
        scored = receipt.verifier_tokens + receipt.verifier_cached_tokens
        assert scored > receipt.sampled_tokens
        assert (receipt.bin is None) == (not row.edges)
    right = np.mean([r.answer == p.answer for r, p in zip(results, PROBLEMS, strict=False)])
    assert right > 0.4


@pytest.mark.slow
def test_the_same_seed_solves_the_same_whatever_runs_beside_it(
    run: Any, transformers_models: Models
) -> None:
    prompts = [problem.text for problem in PROBLEMS[:6]]
    together = run(solver(transformers_models, seed=5).solve_all(prompts, Spend(8)))
    alone = run(solver(transformers_models, seed=5).solve(prompts[3], 8))
    for result in (together[3], alone):
        result.receipt.seconds = 0
    assert together[3].answer == alone.answer
    assert together[3].solution == alone.solution
    assert together[3].score == pytest.approx(alone.score, abs=1e-4)
    # Scores differ in their last bits with the batch, and with them the prediction; what is still
    # in a model's memory, with what it has just read.
    inexact = {"predicted_pass_at_1", "low", "high", "why", "cached_tokens"}
    inexact |= {"verifier_tokens", "verifier_cached_tokens"}
    first, second = together[3].receipt, alone.receipt
    assert first.model_dump(exclude=inexact) == second.model_dump(exclude=inexact)
    read, again = (r.verifier_tokens + r.verifier_cached_tokens for r in (first, second))
    assert read == again


@pytest.mark.slow
def test_the_prediction_tells_easy_from_hard(run: Any, transformers_models: Models) -> None:
    easy = [p.text for p in PROBLEMS if len(p.operations) <= 2]
    hard = [p.text for p in PROBLEMS if len(p.operations) >= 7]

    async def predictions(prompts: list[str]) -> list[float]:
        solving, artifact = solver(transformers_models), Artifact.load(ARTIFACT)
        found = []
        for prompt in prompts:
            started = solving.start(prompt)
            pilots = await started.canonicalize(await started.samples(0, 2))
            features = pilot_features(len(started.context.token_ids), pilots)
            found.append(float(artifact.difficulty[2].predictor.predict(features[None])[0]))
        return found

    assert np.mean(run(predictions(easy))) > np.mean(run(predictions(hard))) + 0.2


def test_a_fixed_plan_takes_the_policys_place(run: Any, transformers_models: Models) -> None:
    plan = Plan(strategy="beam_search", n=8, beam_width=2)
    result = run(solver(transformers_models, fixed=plan).solve(PROBLEMS[0].text, 8))
    assert result.receipt.plan == plan
    assert result.receipt.generations == 8
    assert result.receipt.bin is None


@pytest.mark.slow
@pytest.mark.vllm
def test_ttc_solve_through_vllm_in_a_process_of_its_own(tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    rows = [{"prompt": problem.text} for problem in PROBLEMS[:5]]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--artifact", ARTIFACT, "--file", prompts, "--out", out, "--budget", "8"]
    with ForkedScript(SCRIPTS / "ttc.py", "solve", *map(str, arguments)) as command:
        done = command.completed(300)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [answer["prompt"] for answer in answers] == [row["prompt"] for row in rows]
    assert all(answer["receipt"]["generations"] <= 8 for answer in answers)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.jsonl", "prompts.jsonl"]


def test_a_prompt_on_which_a_model_fails_leaves_the_others_unharmed(tokenizer: Any) -> None:
    class FailsOnTwo(SumVerifier):
        async def score(self, context: Context, steps: Any) -> Verdict:
            if context.prompt == "2":
                raise ModelError("verifier", "it has failed")
            return await super().score(context, steps)

    models = coin_run(tokenizer, verifier=FailsOnTwo(tokenizer)).models
    plan = Plan(strategy="best_of_n", n=4)
    results = asyncio.run(solver(models, fixed=plan).solve_all(["1", "2", "3"], Spend(4)))
    assert [result.prompt for result in results] == ["1", "2", "3"]
    assert isinstance(results[1], Failure)
    assert results[1].error == "verifier: it has failed"
    assert all(isinstance(results[i], Result) for i in (0, 2))


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["revisions:8:4", "beam_revisions:8:2:4"])
def test_a_language_model_can_be_its_own_reviser(run: Any, plan: str) -> None:
    settings = SETTINGS.model_copy(update={"reviser": SETTINGS.model})

    async def revise() -> tuple[list[Sample], Cost]:
        async with open_models(settings, Path(), "transformers", "transformers") as models:
            prompt_run = PromptRun(models, REQUEST_SETTINGS, PROBLEMS[0].text, 1)
            chosen = parse_plan(plan)
            return await STRATEGIES[chosen.strategy](prompt_run, chosen, ()), prompt_run.cost

    samples, cost = run(revise())
    assert len(samples) == cost.generations == 8
    assert {sample.chain for sample in samples} == {0, 1}
    assert cost.verifier_tokens > 0


@pytest.mark.slow
def test_the_trained_reviser_corrects_some_wrong_attempts(run: Any) -> None:
    settings = SETTINGS.model_copy(
        update={"reviser": str(REVISER), "reviser_verifier": str(REVISER_ORM)}
    )
    plan = parse_plan("revisions:8:4")

    async def revise() -> list[list[Sample]]:
        async with open_models(settings, Path(), "transformers", "transformers") as models:

            async def one(problem: Problem) -> list[Sample]:
                prompt_run = PromptRun(models, REQUEST_SETTINGS, problem.text, 1)
                return await STRATEGIES[plan.strategy](prompt_run, plan, ())

            return await together(one(problem) for problem in REVISED)

    firsts, corrected, scores = [], [], []
    for problem, samples in zip(REVISED, run(revise()), strict=True):
        right = [sample.answer == problem.answer for sample in samples]
        for start in range(0, len(samples), plan.length):
            first, *rest = right[start : start + plan.length]
            firsts.append(first)
            if not first:
                corrected.append(any(rest))
        scores += [(sample.score, r) for sample, r in zip(samples, right, strict=True)]
    # It is a language model still: attempts are whole, graded solutions, and revising helps.
    assert 0.2 < np.mean(firsts) < 0.9
    assert np.mean(corrected) > 0.25
    by_outcome = [[s for s, r in scores if r is right] for right in (True, False)]
    assert np.mean(by_outcome[0]) > np.mean(by_outcome[1]) + 0.1
