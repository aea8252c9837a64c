"""The contenders: each runs the same prompts and says what it did.

Two have files of their own: `benchmarks.throughput.lockstep` and `benchmarks.throughput.its_hub`.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from allocator.plan import Plan
from benchmarks.testbed.paths import REQUEST_SETTINGS, SETTINGS
from benchmarks.throughput.workload import CountingEngine, CountingVerifier, NoVerifier, Work
from runtime.answers.selection import select
from runtime.concurrency import bounded
from runtime.engines.base import draw_seed, encode_prompt
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.solving.solve import prompts_in_flight
from runtime.strategies import STRATEGIES
from runtime.verifiers.base import Verifier
from runtime.verifiers.in_transformers import TransformersBackend

Prompts = Sequence[tuple[str, str]]
Contender = Callable[[int], Awaitable[Work]]


def ours(models: Models, prompts: Prompts, plan: Plan, verifier: Verifier | None) -> Contender:
    """This library's scheduler; without a verifier, sampling alone."""

    async def run(seed: int) -> Work:
        work = Work()
        counted = replace(
            models,
            engine=CountingEngine(models.engine, work),
            verifier=NoVerifier() if verifier is None else CountingVerifier(verifier, work),
        )

        async def one(item: tuple[str, str]) -> bool:
            prompt, gold = item
            prompt_run = PromptRun(counted, REQUEST_SETTINGS, prompt, seed)
            samples = await STRATEGIES[plan.strategy](prompt_run, plan, ())
            return select(await prompt_run.canonicalize(samples)).answer == gold

        started = time.perf_counter()
        longest = REQUEST_SETTINGS.sampling.max_tokens
        most = prompts_in_flight(models.engine, plan.n, longest)
        work.correct = await bounded(one, prompts, most)
        work.seconds = time.perf_counter() - started
        return work

    return run


def passes_counted(contender: Contender, verifier: TransformersBackend) -> Contender:
    """The contender, with the verifier's passes among its work."""

    async def run(seed: int) -> Work:
        passes, texts = verifier.passes, verifier.texts
        work = await contender(seed)
        work.verifier_passes = verifier.passes - passes
        work.verifier_texts = verifier.texts - texts
        return work

    return run


def plain_vllm(llm: Any, models: Models, prompts: Prompts, plan: Plan) -> Contender:
    """One call of vLLM's own ``LLM.generate`` with the same requests, seeds included."""
    from vllm import SamplingParams, TokensPrompt

    settings = SETTINGS.sampling

    async def run(seed: int) -> Work:
        texts, params = [], []
        for prompt, _ in prompts:
            ids = encode_prompt(models.engine, prompt)
            for index in range(plan.n):
                texts.append(TokensPrompt(prompt_token_ids=list(ids)))
                params.append(
                    SamplingParams(
                        temperature=settings.temperature,
                        top_p=settings.top_p,
                        max_tokens=settings.max_tokens,
                        seed=draw_seed(seed, *ids, "sample", number=index),
                        logprobs=0,
                    )
                )
        started = time.perf_counter()
        outputs = llm.generate(texts, params, use_tqdm=False)
        seconds = time.perf_counter() - started
        sampled = sum(len(output.outputs[0].token_ids) for output in outputs)
        return Work(seconds=seconds, sampled_tokens=sampled, engine_calls=len(texts))

    return run


def served_name(url: str) -> str:
    """The name of the model that a server serves."""
    import httpx

    return str(httpx.get(f"{url}/v1/models").json()["data"][0]["id"])
