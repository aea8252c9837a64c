"""Runs a script that makes an `llm`, as it is; then tries on that `llm` what takes a real engine.

usage: uses_it_on.py SCRIPT MODEL

A `vllm.LLM` is wrapped and used as before. Ours is evaluated by lm-evaluation-harness, and then
interrupted, as by Ctrl-C at a terminal.
"""

import asyncio
import importlib.metadata
import json
import os
import runpy
import signal
import sys
from functools import partial
from threading import Event, Timer
from typing import Any

import vllm
from vllm import SamplingParams
from vllm.v1.engine.async_llm import AsyncEngineArgs

from benchmarks.serving.accuracy import evaluated_by_harness
from benchmarks.testbed.paths import ARTIFACT, BASE, SETTINGS
from benchmarks.testbed.task import distinct_problems
from runtime.dropin.loading import borrowed
from runtime.dropin.vllm_params import refuse
from runtime.engines.engine_args import NOT_CALIBRATED
from runtime.engines.vllm_sync import VLLMSyncCore
from tests.support.fakes import SOON
from tests.support.waiting import eventually
from ttc_allocator import LLM, Artifact


def wrapped(llm: Any, use: Any) -> Any:
    with LLM.wrap(llm, ARTIFACT, budget=1) as ours:
        used = use(ours)
    with borrowed(llm, Artifact.load(ARTIFACT)) as engine:
        tokens = asyncio.run(cancels(engine, llm.llm_engine.output_processor.request_states))
    steps_on = abandoned(llm)
    left = llm.llm_engine.get_num_unfinished_requests()
    text = llm.generate("<user>12+7*3<assistant>", SamplingParams(temperature=0))[0].outputs[0].text
    found = {"used": used, "tokens": tokens, "steps_on": steps_on}
    return found | {"left": left, "afterwards": text}


async def cancels(engine: Any, states: Any) -> Any:
    """Tokens of a request alone, beside one that is cancelled at work, and after it."""

    async def complete(seed: int) -> Any:
        ids = engine.tokenizer.encode("<user>" + "9*" * 20 + "9<assistant>")
        found = await engine.complete(ids, settings=SETTINGS.sampling, max_tokens=150, seed=seed)
        return len(found.token_ids)

    alone = await complete(1)
    cancelled = asyncio.create_task(complete(1))
    beside = asyncio.create_task(complete(1))
    while len(states) < 2 or not all(tokens_of(state) for state in list(states.values())):
        await asyncio.sleep(0.001)
    cancelled.cancel()
    tokens = [alone, await beside, await complete(1)]
    await asyncio.gather(cancelled, return_exceptions=True)
    return tokens


def abandoned(llm: Any) -> bool:
    """Whether the thread that steps the engine goes on after requests whose loop has ended."""
    core, gone = VLLMSyncCore(llm), Event()
    params: Any = SamplingParams(max_tokens=100, ignore_eos=True)

    async def give_up() -> None:
        async def listen() -> None:
            async for _ in core.stream([5, 6, 7], params):
                pass

        requests = [asyncio.create_task(listen()) for _ in range(4)]
        await asyncio.to_thread(eventually, llm.llm_engine.has_unfinished_requests)
        # The loop ends before the thread comes to what it has ordered.
        core._orders.put(partial(gone.wait, SOON))
        for request in requests:
            request.cancel()

    asyncio.run(give_up())
    gone.set()
    eventually(lambda: not llm.llm_engine.has_unfinished_requests())
    alive = core.alive
    core.close()
    return alive


def tokens_of(state: Any) -> Any:
    return state.detokenizer.num_output_tokens()


def version_of(package: str, version: Any = importlib.metadata.version) -> Any:
    """A package's version. The harness asks for vLLM's, whose build for CPUs has another name."""
    return vllm.__version__ if package == "vllm" else version(package)


def evaluated(llm: Any) -> Any:
    """What the harness's own model of vLLM finds with ours in place of vLLM's `LLM`.

    The engine that is open is used again; that it could be opened with what the harness gives its
    `LLM` is checked by vLLM's own reading of it.
    """

    importlib.metadata.version = version_of  # type: ignore[assignment]
    from lm_eval.models import vllm_causallms

    def opened(**arguments: object) -> Any:
        refuse(**{name: arguments.pop(name) for name in NOT_CALIBRATED if name in arguments})
        AsyncEngineArgs(**arguments).create_engine_config()
        return llm

    vllm_causallms.LLM = opened
    problems = list(distinct_problems("test", 12, seed=61))
    llm.budget, before = 8, llm.budget  # no pilots, which would call prompts asked again drift
    answers, accuracy = evaluated_by_harness("vllm", {"pretrained": str(BASE)}, problems)
    chats = [[{"role": "user", "content": problem.text}] for problem in problems]
    alone = [output.outputs[0].text for output in llm.chat(chats, use_tqdm=False)]
    llm.budget = before
    right = sum(answer == p.answer for answer, p in zip(answers, problems, strict=True))
    return {"answers": answers, "accuracy": accuracy, "right": right, "alone": alone}


def interrupted(llm: Any) -> Any:
    prompts = [f"<user>{n}+7*3-4+{n}<assistant>" for n in range(1000)]
    Timer(0.3, os.killpg, (0, signal.SIGINT)).start()
    try:
        llm.generate(prompts, budget=16, use_tqdm=False)
    except KeyboardInterrupt:
        greedy = SamplingParams(temperature=0, max_tokens=100)
        return {"text": llm.generate(prompts[0], greedy, use_tqdm=False)[0].outputs[0].text}
    return {"text": None}


if __name__ == "__main__":
    script = sys.argv.pop(1)
    made = runpy.run_path(script, run_name="__main__")
    if isinstance(made["llm"], vllm.LLM):
        print(json.dumps(wrapped(made["llm"], made["use"])))
    else:
        print(json.dumps(evaluated(made["llm"])))
        print(json.dumps(interrupted(made["llm"])))
