"""How many processes an engine of vLLM is on a CPU."""

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from benchmarks.testbed.paths import SETTINGS
from runtime.engines.environment import has_gpu
from runtime.engines.vllm_on_cpu import FEW_CORES, ONE_PROCESS, cpu_start
from runtime.models import open_models

BACKEND = "distributed_executor_backend"


@pytest.mark.vllm
@pytest.mark.slow
def test_on_few_cores_the_engine_runs_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # As outside these tests.
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.delenv("OMP_NUM_THREADS")

    async def started() -> list[str]:
        before = set(psutil.Process().children(recursive=True))
        settings = SETTINGS.model_copy(update={"verifier": None})
        async with open_models(settings, Path(), "vllm"):
            assert "OMP_NUM_THREADS" not in os.environ, "it is set for the start alone"
            new = set(psutil.Process().children(recursive=True)) - before
            return [name for p in new if (name := p.name()).startswith("VLLM::")]

    names = asyncio.run(started())
    assert len(names) == (1 if has_gpu() or BACKEND in cpu_start({})[0] else 2)


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (FEW_CORES, "3")])
def test_one_core_is_left_to_the_process_that_asks(
    cores: int, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "auto")
    for given in ({}, {"tensor_parallel_size": 1}):
        arguments, environment = cpu_start(given, cores)
        assert arguments[BACKEND] == ONE_PROCESS
        assert environment == {"OMP_NUM_THREADS": threads}


@pytest.mark.parametrize(
    ("given", "cores", "variables"),
    [
        ({}, FEW_CORES + 1, {}),
        ({BACKEND: "mp"}, 2, {}),
        ({"tensor_parallel_size": 2}, 2, {}),
        ({"data_parallel_size": 2}, 2, {}),
        ({}, 2, {"VLLM_CPU_OMP_THREADS_BIND": "0-1"}),
        ({}, 2, {"VLLM_CPU_NUM_OF_RESERVED_CPU": "1"}),
    ],
)
def test_vllm_decides_on_many_cores_and_where_the_user_says_how(
    given: dict[str, object],
    cores: int,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    arguments, environment = cpu_start(given, cores)
    assert BACKEND not in arguments
    assert environment == {}
