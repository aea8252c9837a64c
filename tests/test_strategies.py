"""Best-of-N and beam search against what can be computed by hand."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from scipy.stats import chisquare

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.strategies import beam_search, best_of_n
from tests.fakes import STEPS, CoinEngine, coin_run

# Sums of three fair coins, in eighths.
EXPECTED = {"0": 1, "1": 3, "2": 3, "3": 1}


def search(tokenizer: Any, plan: Plan, seed: int = 0) -> list[Sample]:
    strategy = beam_search if plan.strategy == "beam_search" else best_of_n
    return asyncio.run(strategy(coin_run(tokenizer, seed), plan, ()))


def answer_counts(samples: list[Sample]) -> Counter[str]:
    return Counter(str(sample.answer) for sample in samples)


def test_beam_search_of_width_1_is_independent_sampling(tokenizer: Any) -> None:
    n = 800
    samples = search(tokenizer, Plan(strategy="beam_search", n=n, beam_width=1))
    assert len(samples) == n
    counts = answer_counts(samples)
    expected = [n * EXPECTED[a] / 8 for a in "0123"]
    assert chisquare([counts[a] for a in "0123"], expected).pvalue > 0.001
    run = coin_run(tokenizer)
    asyncio.run(beam_search(run, Plan(strategy="beam_search", n=n, beam_width=1), ()))
    assert isinstance(run.decoder.engine, CoinEngine)
    assert len(set(run.decoder.engine.seeds)) == len(run.decoder.engine.seeds)
    independent = answer_counts(search(tokenizer, Plan(strategy="best_of_n", n=n)))
    assert chisquare([independent[a] for a in "0123"], expected).pvalue > 0.001


def test_beam_search_follows_the_verifier(tokenizer: Any) -> None:
    samples = search(tokenizer, Plan(strategy="beam_search", n=32, beam_width=8))
    # 32 first steps surely hold four ones, and so on: after two rounds all kept beams are ones.
    assert answer_counts(samples)["3"] >= 8
    assert set(answer_counts(samples)) <= {"2", "3"}


def test_beams_are_as_many_as_planned_and_costed(tokenizer: Any) -> None:
    run = coin_run(tokenizer)
    plan = Plan(strategy="beam_search", n=12, beam_width=4)
    samples = asyncio.run(beam_search(run, plan, ()))
    assert len(samples) == 12
    assert run.cost.generations == 12
    # Four rounds of twelve requests: three lines of two tokens, then the answer's three.
    assert isinstance(run.decoder.engine, CoinEngine)
    assert len(run.decoder.engine.requests) == 12 * (STEPS + 1)
    assert run.cost.sampled_tokens == 12 * (STEPS * 2 + 3)
    assert all(len(sample.steps) == len(sample.step_scores) == STEPS + 1 for sample in samples)


def test_pilots_are_reused_and_not_paid_twice(tokenizer: Any) -> None:
    run = coin_run(tokenizer)
    pilots = asyncio.run(run.samples(0, 4))
    samples = asyncio.run(best_of_n(run, Plan(strategy="best_of_n", n=10), pilots))
    assert run.cost.generations == 10
    assert samples[:4] == pilots
    assert samples == search(tokenizer, Plan(strategy="best_of_n", n=10))


def test_a_seed_determines_everything_and_another_changes_it(tokenizer: Any) -> None:
    plan = Plan(strategy="beam_search", n=16, beam_width=2)
    assert search(tokenizer, plan, 3) == search(tokenizer, plan, 3)
    assert search(tokenizer, plan, 3) != search(tokenizer, plan, 4)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_any_divisor_is_a_width(tokenizer: Any, width: int) -> None:
    samples = search(tokenizer, Plan(strategy="beam_search", n=8, beam_width=width))
    assert len(samples) == 8
    assert all(sample.ended for sample in samples)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_beams_that_end_early_are_still_among_the_n(tokenizer: Any, width: int) -> None:
    engine = CoinEngine(tokenizer, ragged=True)
    run = coin_run(tokenizer, engine=engine)
    plan = Plan(strategy="beam_search", n=16, beam_width=width)
    samples = asyncio.run(beam_search(run, plan, ()))
    assert len(samples) == run.cost.generations == 16
    assert all(sample.ended for sample in samples)
    assert len({len(sample.steps) for sample in samples}) > 2


def test_an_error_stops_everything_that_runs_beside_it(tokenizer: Any) -> None:
    engine = CoinEngine(tokenizer, fails_after=20)

    async def search_and_wait() -> int:
        plan = Plan(strategy="best_of_n", n=8)
        with pytest.raises(RuntimeError, match="has failed"):
            await beam_search(coin_run(tokenizer, engine=engine), plan, ())
        at_once = len(engine.requests)
        await asyncio.sleep(0.05)
        return len(engine.requests) - at_once

    assert asyncio.run(search_and_wait()) == 0
