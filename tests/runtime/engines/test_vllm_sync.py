"""The caller's own `vllm.LLM`, stepped by a thread beside the caller's event loops."""

import asyncio
from functools import partial
from threading import Event
from typing import Any

import pytest

from benchmarks.testbed.paths import BASE
from runtime.engines.vllm_sync import VLLMSyncCore
from tests.support.fakes import SOON
from tests.support.waiting import eventually


@pytest.mark.vllm
def test_requests_whose_loop_has_ended_are_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm import LLM, SamplingParams

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    llm = LLM(str(BASE), gpu_memory_utilization=0.2)
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
    assert core.alive
    core.close()
