"""The scheduler on the real vLLM engine: exact accounting, cancellation, and its death.

The engine here is one of its own, for its counters are read and in the end it is killed.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
from prometheus_client import REGISTRY

from allocator.errors import ModelError
from allocator.plan import Plan
from benchmarks.testbed.paths import BASE, REQUEST_SETTINGS
from benchmarks.testbed.task import distinct_problems
from runtime.concurrency import stream
from runtime.engines.vllm import VLLMEngine
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.strategies import STRATEGIES
from runtime.verifiers.base import Context, Verdict
from tests.support.fakes import CoinEngine, SumVerifier, coin_run
from tests.support.vllm_requests import unfinished
from tests.support.waiting import eventually_in_loop, turns

PROBLEMS = distinct_problems("test", 12, seed=31)
STILL = 50  # looks at the counters, of which 100 are taken a second


@pytest.fixture(scope="module")
def counted(run: Any, vllm_models: Models) -> Iterator[Models]:
    """Models with an engine that keeps statistics."""

    async def start() -> VLLMEngine:
        return VLLMEngine(BASE, disable_log_stats=False, gpu_memory_utilization=0.2)

    engine = run(start())
    yield replace(vllm_models, engine=engine)
    engine.close()


def counter(name: str) -> float:
    """A counter of vLLM's own."""
    value = REGISTRY.get_sample_value(
        f"vllm:{name}_total", {"model_name": str(BASE), "engine": "0"}
    )
    return value or 0.0


async def settled(models: Models) -> None:
    """Wait until the engine has noted what was aborted."""
    await eventually_in_loop(lambda: not unfinished(models))


async def increases(before: dict[str, float]) -> list[float]:
    """What has been added to counters once they rise no more: they follow the engine's outputs."""
    found: list[dict[str, float]] = [before]

    def unchanged() -> bool:
        found.append({name: counter(name) for name in before})
        return found[-1] != before and len(found) > STILL and found[-1] == found[-STILL]

    await eventually_in_loop(unchanged)
    return [found[-1][name] - before[name] for name in before]


@pytest.mark.parametrize(
    ("plan", "early_stop"),
    [
        (Plan(strategy="best_of_n", n=8), None),
        (Plan(strategy="best_of_n", n=24, selection="majority"), 1.0),
        (Plan(strategy="beam_search", n=8, beam_width=4), None),
        (Plan(strategy="beam_search", n=4, beam_width=2, lookahead=1), None),
        (Plan(strategy="dvts", n=8, beam_width=4), None),
    ],
)
def test_costs_are_the_engines_own_counters_to_the_token(
    run: Any, counted: Models, plan: Plan, early_stop: float | None
) -> None:
    settings = replace(REQUEST_SETTINGS, early_stop=early_stop)
    names = ("generation_tokens", "prefix_cache_hits")

    async def work() -> tuple[list[PromptRun], list[float]]:
        before = {name: counter(name) for name in names}
        runs = [PromptRun(counted, settings, problem.text, 3) for problem in PROBLEMS]
        await asyncio.gather(*(STRATEGIES[plan.strategy](r, plan, ()) for r in runs))
        await settled(counted)
        return runs, await increases(before)

    runs, (sampled, cached) = run(work())
    assert sum(r.cost.sampled_tokens for r in runs) == sampled
    assert sum(r.cost.cached_tokens for r in runs) == cached
    generations = [r.cost.generations for r in runs]
    if early_stop is not None:
        assert min(generations) < plan.n
    else:
        assert generations == [plan.cost(0)] * len(runs)


def test_a_cancelled_prompt_leaves_no_request_in_the_engine(run: Any, counted: Models) -> None:
    async def cancelled() -> tuple[int, int]:
        prompt_run = PromptRun(counted, REQUEST_SETTINGS, PROBLEMS[0].text, 3)
        task = asyncio.create_task(prompt_run.samples(0, 200))
        during = await eventually_in_loop(lambda: unfinished(counted))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(counted)
        return during, unfinished(counted)

    during, after = run(cancelled())
    assert during > 0
    assert after == 0


def test_a_reader_that_goes_away_ends_the_work(run: Any, counted: Models) -> None:
    async def leave() -> tuple[int, int]:
        async def one(text: str) -> int:
            return len(await PromptRun(counted, REQUEST_SETTINGS, text, 3).samples(0, 60))

        results = stream(one, [p.text for p in PROBLEMS], in_flight=4)
        _, first = await anext(results)
        await results.aclose()
        await settled(counted)
        return first, unfinished(counted)

    assert run(leave()) == (60, 0)


def test_a_slow_reader_slows_the_work_down() -> None:
    started: list[int] = []

    async def one(number: int) -> int:
        started.append(number)
        return number

    async def read_two() -> list[int]:
        results = stream(one, iter(range(10**9)), in_flight=3)
        found = [(await anext(results))[1] for _ in range(2)]
        await turns()  # those in which more could be started
        await results.aclose()
        return found

    assert len(asyncio.run(read_two())) == 2
    assert len(started) <= 5


@pytest.mark.parametrize(
    ("scores", "what"),
    [
        ((0.5, float("nan")), "nan: scores lie in"),
        ((0.5, 1.5), "1.5: scores lie in"),
        ((0.5,), "gave 1 scores for 4 steps"),
    ],
)
def test_a_verifier_that_answers_garbage_is_named(
    tokenizer: Any, scores: tuple[float, ...], what: str
) -> None:
    class Garbage(SumVerifier):
        async def score(self, context: Context, steps: Any) -> Verdict:
            whole = scores if len(scores) == 1 else (*[0.5] * (len(steps) - 1), scores[-1])
            return Verdict(whole, 0, 0)

    with pytest.raises(ModelError, match=what):
        asyncio.run(coin_run(tokenizer, verifier=Garbage(tokenizer)).samples(0, 3))


def test_a_verifier_that_hangs_is_given_up_and_nothing_goes_on(tokenizer: Any) -> None:
    class Hangs(SumVerifier):
        async def score(self, context: Context, steps: Any) -> Verdict:
            await asyncio.Event().wait()
            raise NotImplementedError

    engine = CoinEngine(tokenizer)
    run = coin_run(tokenizer, engine=engine, verifier=Hangs(tokenizer), verifier_timeout=0.2)
    with pytest.raises(ModelError, match=r"no score within 0.2 seconds"):
        asyncio.run(run.samples(0, 3))


def test_a_killed_engine_is_a_clear_error(run: Any, counted: Models) -> None:
    # The last test with this engine.
    async def killed() -> None:
        prompt_run = PromptRun(counted, REQUEST_SETTINGS, PROBLEMS[0].text, 3)
        task = asyncio.create_task(prompt_run.samples(0, 100))
        await eventually_in_loop(lambda: unfinished(counted))
        newest = max(
            (p for p in psutil.Process().children(recursive=True) if "EngineCore" in p.name()),
            key=lambda p: p.create_time(),
        )
        newest.kill()
        with pytest.raises(ModelError, match="vLLM engine has died"):
            await asyncio.wait_for(task, 60)
        with pytest.raises(ModelError, match="vLLM engine has died"):
            await asyncio.wait_for(prompt_run.samples(0, 2), 60)

    run(killed())
