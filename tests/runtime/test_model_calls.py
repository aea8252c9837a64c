"""FLOPs of the models' calls, by hand: twice the parameters for each token."""

import asyncio
import time
from typing import Any

from allocator.flops import ModelSizes
from allocator.plan import Plan
from runtime.prompt_run import PromptRun
from runtime.result import Decision, Receipt
from runtime.reviser import Reviser
from runtime.solving.run_plan import result_of, run_plan
from tests.support.fakes import StepUp, SumVerifier, coin_run

SIZES = ModelSizes(model=3, verifier=5, reviser=7, reviser_verifier=11)


def receipt_of(run: PromptRun, plan: Plan) -> Receipt:
    async def answered() -> Receipt:
        samples = await run_plan(run, plan, [], 1, plan.n)
        decision = Decision(plan=plan, why="")
        return (await result_of(run, samples, decision, {}, time.perf_counter())).receipt

    return asyncio.run(answered())


def test_the_model_samples_and_the_verifier_reads(tokenizer: Any) -> None:
    receipt = receipt_of(coin_run(tokenizer, sizes=SIZES), Plan(strategy="best_of_n", n=3))
    assert receipt.verifier_tokens == receipt.sampled_tokens > 0
    assert receipt.flops == (6 + 10) * receipt.sampled_tokens


def test_a_single_solution_is_sampled_alone(tokenizer: Any) -> None:
    receipt = receipt_of(coin_run(tokenizer, sizes=SIZES), Plan(strategy="best_of_n", n=1))
    assert receipt.flops == 6 * receipt.sampled_tokens > 0


def test_revisions_are_made_and_read_by_models_of_their_own(tokenizer: Any) -> None:
    reviser = Reviser(StepUp(tokenizer), SumVerifier(tokenizer))
    run = coin_run(tokenizer, sizes=SIZES, reviser=reviser)
    samples = asyncio.run(run_plan(run, Plan(strategy="revisions", n=4, length=2), [], 1, 4))
    first, later = (sum(sample.tokens for sample in samples[turn::2]) for turn in (0, 1))
    # Both verifiers read a first attempt.
    assert run.cost.flops == (6 + 10 + 22) * first + (14 + 22) * later > 0


def test_flops_are_unknown_where_a_size_is(tokenizer: Any) -> None:
    receipt = receipt_of(coin_run(tokenizer), Plan(strategy="best_of_n", n=3))
    assert receipt.flops is None
