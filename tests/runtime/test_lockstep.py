"""The scheduler finds and spends exactly what a naive search in lockstep does.

In the scheduler no prompt waits for another, and draws and scores of many prompts are in flight at
once. `tests.support.lockstep` does the same one draw at a time. Seeds are fixed.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from allocator.plan import Plan
from benchmarks.testbed.paths import REQUEST_SETTINGS
from benchmarks.testbed.task import distinct_problems
from predictors.sample import Sample
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.strategies import STRATEGIES
from tests.support.fakes import COIN_SETTINGS, CoinEngine, coin_run
from tests.support.lockstep import Spent, in_lockstep

PLANS = [
    Plan(strategy="best_of_n", n=6),
    Plan(strategy="beam_search", n=8, beam_width=1),
    Plan(strategy="beam_search", n=8, beam_width=2),
    Plan(strategy="beam_search", n=8, beam_width=4),
    Plan(strategy="beam_search", n=6, beam_width=2, lookahead=1),
    Plan(strategy="beam_search", n=4, beam_width=4, lookahead=3),
    Plan(strategy="dvts", n=8, beam_width=2),
    Plan(strategy="dvts", n=8, beam_width=4),
]
COINS = ["1", "2+3", "4*5-6", "7", "8+9"]
PROBLEMS = [problem.text for problem in distinct_problems("test", 5, seed=83)]

Found = list[tuple[list[Sample], Spent]]


async def scheduled(
    models: Models, settings: RequestSettings, prompts: list[str], plan: Plan, seed: int
) -> Found:
    """What the library's strategies find with all prompts in flight."""
    runs = [PromptRun(models, settings, prompt, seed) for prompt in prompts]
    found = await asyncio.gather(*(STRATEGIES[plan.strategy](run, plan, ()) for run in runs))
    spent = [
        Spent(
            run.cost.generations,
            run.cost.sampled_tokens,
            run.cost.verifier_tokens + run.cost.verifier_cached_tokens,
        )
        for run in runs
    ]
    return list(zip(found, spent, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_on_coins_both_are_equal_to_the_bit(
    tokenizer: Any, plan: Plan, ragged: bool, seed: int
) -> None:
    models = coin_run(tokenizer, engine=CoinEngine(tokenizer, ragged=ragged)).models
    expected = asyncio.run(in_lockstep(models, COIN_SETTINGS.sampling, COINS, plan, seed))
    assert asyncio.run(scheduled(models, COIN_SETTINGS, COINS, plan, seed)) == expected


@pytest.mark.parametrize("max_steps", [1, 2, 3])
def test_searches_that_run_out_of_rounds_are_equal(tokenizer: Any, max_steps: int) -> None:
    plan = Plan(strategy="beam_search", n=8, beam_width=2, lookahead=1)
    models = coin_run(tokenizer).models
    sampling = COIN_SETTINGS.sampling.model_copy(update={"max_steps": max_steps})
    expected = asyncio.run(in_lockstep(models, sampling, COINS, plan, 0))
    assert asyncio.run(scheduled(models, RequestSettings(sampling), COINS, plan, 0)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_on_the_testbed_both_are_equal(run: Any, transformers_models: Any, plan: Plan) -> None:
    found = run(scheduled(transformers_models, REQUEST_SETTINGS, PROBLEMS, plan, 5))
    expected = run(in_lockstep(transformers_models, REQUEST_SETTINGS.sampling, PROBLEMS, plan, 5))
    for (ours, our_cost), (theirs, their_cost) in zip(found, expected, strict=True):
        assert our_cost == their_cost
        # Tokens are equal. Floats are read in batches of other sizes, whose sums round otherwise.
        assert [plain(sample) for sample in ours] == [plain(sample) for sample in theirs]
        assert [s.logprob for s in ours] == pytest.approx([s.logprob for s in theirs], abs=1e-3)
        assert [s.score for s in ours] == pytest.approx([s.score for s in theirs], abs=1e-4)
        for our, their in zip(ours, theirs, strict=True):
            assert our.step_scores == pytest.approx(their.step_scores, abs=1e-4)


def plain(sample: Sample) -> Sample:
    """The sample without what is a float."""
    return replace(sample, step_scores=(), score=0.0, logprob=0.0)
