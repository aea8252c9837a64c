"""Many prompts: one total, an average over a stream, failures, drift and its end, metrics."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from allocator.errors import InputError, ModelError
from allocator.plan import Plan
from predictors.gain_model import GainModel
from runtime.artifact import Artifact
from runtime.engines.token_options import TokenOptions
from runtime.request import Request, RequestSettings
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import FILL, PROMPTS_IN_FLIGHT, Solver, prompts_in_flight
from runtime.verifiers.base import Context, Verdict
from tests.support.artifacts import BentCoins, bent_models, bent_prompts, with_row
from tests.support.fakes import COIN_SETTINGS, SumVerifier

MODES = [Spend(budget=8), Spend(average_budget=3), Spend(total_budget=90)]
SAFE = Plan(strategy="best_of_n", n=8)


def solver(artifact: Artifact, tokenizer: Any, **options: Any) -> Solver:
    return Solver(bent_models(tokenizer), artifact, **options)


def solved(solving: Solver, prompts: list[str], spend: Spend) -> list[Result]:
    results = asyncio.run(solving.solve_all(prompts, spend))
    assert [result.prompt for result in results] == prompts
    return [result for result in results if isinstance(result, Result)]


def streamed(solving: Solver, spend: Spend, count: int = 1) -> tuple[list[int], int]:
    """Places of the first results of endless prompts, and how many prompts were read for them."""
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"50*{read}"

    async def first() -> list[int]:
        results = solving.solve_stream(endless(), spend)
        places = [(await anext(results))[0] for _ in range(count)]
        await results.aclose()
        return places

    return asyncio.run(first()), read


def generations(results: list[Result]) -> list[int]:
    return [result.receipt.generations for result in results]


def sampled(solving: Solver) -> int:
    """Whole solutions that the engine itself has counted."""
    assert isinstance(solving.models.engine, BentCoins)
    return solving.models.engine.generations


@pytest.mark.slow
@pytest.mark.parametrize("total", [40, 41, 57, 120, 200])
def test_a_total_is_spent_and_never_exceeded(bent: Artifact, tokenizer: Any, total: int) -> None:
    solving = solver(bent, tokenizer)
    results = solved(solving, bent_prompts(40, seed=2), Spend(total_budget=total))
    assert sum(generations(results)) == sampled(solving)
    # A stage costs two generations at most: no more than one is left over.
    assert total - 1 <= sampled(solving) <= total
    assert all(result.receipt.budget is None for result in results)


def test_a_total_beyond_the_last_stage_takes_every_prompt_there(
    bent: Artifact, tokenizer: Any
) -> None:
    results = solved(solver(bent, tokenizer), bent_prompts(5, seed=2), Spend(total_budget=10**6))
    assert set(generations(results)) == {bent.prices.schedule.costs[-1]}


def test_a_total_goes_where_more_solutions_help(bent: Artifact, tokenizer: Any) -> None:
    # Gains that last over many stages: otherwise every prompt continues by one stage at once.
    lasting = replace(bent, gain_model=GainModel(weights=bent.gain_model.weights, rho=0.5))
    # Too few prompts for them to seem unlike calibration's, which they are.
    settled, open_ = bent_prompts(9, 3, 98, 99), bent_prompts(9, 4, 55, 75)
    spent = generations(
        solved(solver(lasting, tokenizer), [*settled, *open_], Spend(total_budget=54))
    )
    assert np.mean(spent[:9]) + 1 < np.mean(spent[9:])


@pytest.mark.slow
def test_the_same_seed_shares_a_total_in_the_same_way(bent: Artifact, tokenizer: Any) -> None:
    def answers(seed: int) -> list[tuple[str, int]]:
        results = solved(
            solver(bent, tokenizer, seed=seed), bent_prompts(30, seed=2), Spend(total_budget=90)
        )
        return [(result.solution, result.receipt.generations) for result in results]

    assert answers(5) == answers(5)
    assert answers(5) != answers(6)


@pytest.mark.slow
@pytest.mark.parametrize("average", [1.5, 3, 5])
def test_an_average_holds_over_a_stream(bent: Artifact, tokenizer: Any, average: float) -> None:
    results = solved(
        solver(bent, tokenizer), bent_prompts(500, seed=5), Spend(average_budget=average)
    )
    assert np.mean(generations(results)) == pytest.approx(average, rel=0.12)
    assert np.std(generations(results)) > 0.5, "not every prompt alike"


@pytest.mark.slow
def test_an_average_holds_though_calibration_was_wrong_about_prices(
    bent: Artifact, tokenizer: Any
) -> None:
    # Gains are taken to be ten times what they are: at calibration's price far more is spent.
    weights = (bent.gain_model.weights[0] + np.log(10), *bent.gain_model.weights[1:])
    rash = replace(bent, gain_model=GainModel(weights=weights, rho=bent.gain_model.rho))
    solving = solver(rash, tokenizer)
    spent = generations(solved(solving, bent_prompts(900, seed=5), Spend(average_budget=2)))
    assert np.mean(spent[:60]) > 2.5
    assert np.mean(spent[-400:]) == pytest.approx(2, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("spend", MODES, ids=str)
def test_a_prompt_on_which_a_model_fails_leaves_the_others_unharmed(
    bent: Artifact, tokenizer: Any, spend: Spend, tmp_path: Path
) -> None:
    prompts = bent_prompts(30, seed=2)
    safe = with_row(bent, 1, (0.5,), [SAFE, SAFE])
    bad = int(np.argmax(generations(solved(solver(safe, tokenizer), prompts, spend))))

    class FailsAtLast(SumVerifier):
        """Fails on one prompt that takes several solutions, once it has scored the first."""

        scored = 0

        async def score(self, context: Context, steps: Any) -> Verdict:
            self.scored += context.prompt == prompts[bad]
            if context.prompt == prompts[bad] and self.scored > 1:
                raise ModelError("verifier", "it has failed")
            return await super().score(context, steps)

    models = bent_models(tokenizer, verifier=FailsAtLast(tokenizer))
    solving = Solver(models, safe)
    called: list[Result | Failure] = []
    results = asyncio.run(solving.solve_all(prompts, spend, called.append))
    failures = {number for number, result in enumerate(results) if isinstance(result, Failure)}
    assert failures == {bad}
    assert results[bad] == Failure(prompt=prompts[bad], error="verifier: it has failed")
    assert len(results) == 30
    assert len(called) == 30
    if spend.total_budget is not None:
        assert sampled(solving) <= spend.total_budget
    assert series(solving, tmp_path)["ttc_failures_total"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("spend", MODES, ids=str)
def test_traffic_like_calibration_raises_no_alarm(
    bent: Artifact, tokenizer: Any, spend: Spend
) -> None:
    # Prompts that end first, or that alone continue, are a biased sample: all are compared at once.
    prompts = bent_prompts(90 if spend.total_budget else 400, seed=2)
    solving = solver(bent, tokenizer)
    results = solved(solving, prompts, spend)
    assert not any(result.receipt.drifted for result in results)
    assert solving.monitor.report().prompts >= 90


CALIBRATED = COIN_SETTINGS.sampling


@pytest.mark.parametrize(
    "settings",
    [
        RequestSettings(CALIBRATED.model_copy(update={"max_tokens": 2})),
        RequestSettings(CALIBRATED.model_copy(update={"temperature": 0.1})),
        RequestSettings(CALIBRATED, stops=("#",)),
        RequestSettings(CALIBRATED, thinking=5),
    ],
)
def test_prompts_that_are_sampled_otherwise_are_not_compared(
    bent: Artifact, tokenizer: Any, settings: RequestSettings
) -> None:
    solving = solver(bent, tokenizer)
    requests = [Request(prompt, settings=settings) for prompt in bent_prompts(5, seed=2)]
    asyncio.run(solving.solve_all(requests, Spend(budget=8)))
    asyncio.run(solving.solve_fallback(requests[0], 8))
    assert solving.monitor.report().prompts == 0
    as_calibrated = [replace(r, settings=RequestSettings(CALIBRATED)) for r in requests]
    for _ in range(2):  # the second time they are in the window
        asyncio.run(solving.solve_all(as_calibrated, Spend(budget=8)))
    assert solving.monitor.report().prompts == 5


def test_what_is_returned_of_solutions_does_not_change_how_they_are_sampled() -> None:
    shown = TokenOptions(logprobs=5, logprob_token_ids=(3,), priority=1)
    assert RequestSettings(CALIBRATED, tokens=shown, prompt_logprobs=1).samples_as(CALIBRATED)
    biased = replace(shown, logit_bias=((3, 1.0),))
    for tokens in (biased, replace(shown, min_tokens=2), replace(shown, ignore_eos=True)):
        assert not RequestSettings(CALIBRATED, tokens=tokens).samples_as(CALIBRATED)
    for longest, alike in ((CALIBRATED.max_tokens + 1, True), (CALIBRATED.max_tokens - 1, False)):
        sampling = CALIBRATED.model_copy(update={"max_tokens": longest})
        assert RequestSettings(sampling).samples_as(CALIBRATED) is alike


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spend", "n"), [(Spend(budget=8), 8), (Spend(average_budget=3.5), 3)], ids=str
)
def test_unlike_traffic_is_answered_safely_until_it_is_like_calibration_again(
    bent: Artifact, tokenizer: Any, spend: Spend, n: int, tmp_path: Path
) -> None:
    solving = solver(bent, tokenizer)
    like = solved(solving, bent_prompts(100, seed=2), spend)
    assert not any(result.receipt.drifted for result in like)
    unlike = solved(solving, bent_prompts(150, 9, 1, 5), spend)
    for result in unlike[-50:]:
        receipt = result.receipt
        assert receipt.drifted
        assert receipt.plan == Plan(strategy="best_of_n", n=n)
        assert receipt.generations == n
        assert "traffic does not look like calibration (" in receipt.why
        shares = re.findall(r"(\d+)% of the last 100 prompts are ", receipt.why)
        assert max(map(int, shares)) > 95
    assert series(solving, tmp_path)["ttc_drift"] == 1
    back = solved(solving, bent_prompts(250, seed=3), spend)
    assert not any(result.receipt.drifted for result in back[-60:])
    assert series(solving, tmp_path)["ttc_drift"] == 0


@pytest.mark.slow
def test_a_total_is_shared_evenly_over_unlike_traffic(bent: Artifact, tokenizer: Any) -> None:
    solving = solver(bent, tokenizer)
    prompts = bent_prompts(150, 9, 1, 5)
    results = solved(solving, prompts, Spend(total_budget=3 * len(prompts)))
    assert all(result.receipt.drifted for result in results)
    assert sampled(solving) <= 3 * len(prompts)
    assert max(generations(results)) - min(generations(results)) <= 2


def series(solving: Solver, folder: Path) -> dict[str, float]:
    """The metrics file's series; those of several labels added up."""
    solving.metrics.write(folder / "ttc.prom")
    found: dict[str, float] = {}
    for family in text_string_to_metric_families((folder / "ttc.prom").read_text()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


@pytest.mark.parametrize("spend", MODES, ids=str)
def test_metrics_count_what_was_done(
    bent: Artifact, tokenizer: Any, spend: Spend, tmp_path: Path
) -> None:
    solving = solver(bent, tokenizer)
    results = solved(solving, bent_prompts(30, seed=2), spend)
    found = series(solving, tmp_path)
    assert found["ttc_prompts_total"] == found["ttc_prompt_seconds_count"] == 30
    assert found["ttc_generations_total"] == sum(generations(results)) == sampled(solving)
    tokens = sum(result.receipt.sampled_tokens for result in results)
    assert found["ttc_sampled_tokens_total"] == tokens > 0
    assert (found["ttc_price"] > 0) == (spend.average_budget is not None)


def test_a_stream_reads_no_further_than_it_works(bent: Artifact, tokenizer: Any) -> None:
    places, read = streamed(solver(bent, tokenizer), Spend(average_budget=2), 5)
    assert len(set(places)) == 5
    assert read <= PROMPTS_IN_FLIGHT + 5


def test_replicas_have_as_many_prompts_each_as_one_engine_has(
    bent: Artifact, tokenizer: Any
) -> None:
    class Replicated(BentCoins):
        replicas = 3

    models = bent_models(tokenizer, engine=Replicated(tokenizer))
    _, read = streamed(Solver(models, bent), Spend(average_budget=2))
    assert read == 3 * PROMPTS_IN_FLIGHT


class Roomy(BentCoins):
    """Two replicas that run 100 sequences each, and hold 6,400 tokens."""

    replicas = 2

    def capacity(self, tokens: int) -> int:
        return min(100, 6400 // tokens)


@pytest.mark.parametrize(
    ("beams", "max_tokens", "expected"),
    [
        (16, 256, 2 * (FILL * 100 // 16)),
        (256, 256, 2 * (FILL * 100 // 256)),
        (16, 2048, 2 * (FILL * 25 // 16)),  # 256 tokens of each solution at a time
        (1000, 2048, 2),
        (None, 2048, 2 * PROMPTS_IN_FLIGHT),
    ],
)
def test_prompts_are_admitted_by_their_beams_and_what_the_engine_holds(
    tokenizer: Any, beams: int | None, max_tokens: int, expected: int
) -> None:
    assert prompts_in_flight(Roomy(tokenizer), beams, max_tokens) == expected
    alone = PROMPTS_IN_FLIGHT  # of an engine that tells nothing
    assert prompts_in_flight(BentCoins(tokenizer), beams, max_tokens) == alone


@pytest.mark.parametrize("budget", [8, 100])
def test_a_budget_of_many_generations_admits_fewer_prompts(
    bent: Artifact, tokenizer: Any, budget: int
) -> None:
    solving = Solver(bent_models(tokenizer, engine=Roomy(tokenizer)), bent)
    _, read = streamed(solving, Spend(budget=budget))
    longest = solving.settings.sampling.max_tokens
    assert read == prompts_in_flight(solving.models.engine, budget, longest)


def test_what_cannot_be_spent_is_named(bent: Artifact, tokenizer: Any) -> None:
    prompts = bent_prompts(10, seed=2)
    free, fixed = solver(bent, tokenizer), solver(bent, tokenizer, fixed=SAFE)
    hasty = solver(bent, tokenizer, early_stop=0.9)
    refused: list[tuple[Solver, list[str], Spend, str]] = [
        (free, [], Spend(total_budget=9), "give at least one prompt"),
        (free, prompts, Spend(total_budget=9), "total_budget: 9: 10 prompts cost 1 each at least"),
        (free, [*prompts, ""], Spend(budget=4), "prompt"),
        (free, [*prompts, "1" * 99], Spend(total_budget=90), "shorten it"),
        (free, prompts, Spend(average_budget=0.5), "must be 1 or more"),
        (fixed, prompts, Spend(average_budget=2), "a plan goes with a budget"),
        (fixed, prompts, Spend(total_budget=90), "a plan goes with a budget"),
        (
            hasty,
            prompts,
            Spend(average_budget=2),
            "early_stop: 0.9: it goes with a budget for each",
        ),
        (hasty, prompts, Spend(total_budget=90), "early_stop: 0.9: it goes with a budget for each"),
    ]
    for solving, asked, spend, message in refused:
        with pytest.raises(InputError, match=message):
            asyncio.run(solving.solve_all(asked, spend))
        assert sampled(solving) == 0

    roomy = Solver(bent_models(tokenizer, engine=Roomy(tokenizer)), bent)
    with pytest.raises(InputError, match="10 prompts cost 1 each at least"):
        asyncio.run(roomy.solve_all(prompts, Spend(total_budget=9)))

    async def first() -> None:
        await anext(free.solve_stream(prompts, Spend(total_budget=90)))

    with pytest.raises(InputError, match="a stream has no end"):
        asyncio.run(first())
