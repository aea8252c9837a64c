"""How many processes an engine of vLLM is: on a CPU of few cores one, else vLLM's own number."""

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from benchmarks.testbed.paths import SETTINGS
from runtime.engines.environment import has_gpu
from runtime.engines.vllm_core import FEW_CORES, cpu_defaults
from runtime.models import open_models

BACKEND = "distributed_executor_backend"


@pytest.mark.vllm
@pytest.mark.slow
def test_on_few_cores_the_engine_runs_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")  # as outside these tests
    cores = len(os.sched_getaffinity(0))

    async def started() -> list[str]:
        before = set(psutil.Process().children(recursive=True))
        settings = SETTINGS.model_copy(update={"verifier": None})
        async with open_models(settings, Path(), "vllm"):
            new = set(psutil.Process().children(recursive=True)) - before
            return [name for p in new if (name := p.name()).startswith("VLLM::")]

    names = asyncio.run(started())
    assert len(names) == (2 if BACKEND not in cpu_defaults(cores, ()) and not has_gpu() else 1)


def test_where_the_cores_are_many_or_processes_are_asked_for_vllm_decides() -> None:
    assert BACKEND in cpu_defaults(FEW_CORES, ())
    assert BACKEND not in cpu_defaults(FEW_CORES + 1, ())
    assert BACKEND not in cpu_defaults(FEW_CORES, ("tensor_parallel_size",))
