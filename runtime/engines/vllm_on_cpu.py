"""How engines of vLLM are started on a CPU."""

import os
from typing import Any

from joblib import cpu_count

from runtime.engines.engine_args import EngineArgs
from runtime.engines.gpus import gpu_count

# On CPU vLLM runs the model in a second process, whose threads it binds to cores. That process
# takes half of the start, and the first one spins while it waits for it. With this few cores,
# binding gains nothing: the engine's process runs the model itself.
FEW_CORES = 4
# By its short name, "uni", vLLM does not take it on CPU.
ONE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"


def cpu_start(given: EngineArgs, cores: int | None = None) -> tuple[EngineArgs, dict[str, str]]:
    """Arguments of an engine on CPU, and environment variables while it starts.

    Args:
        given: the arguments that the caller gives, which come before these.
        cores: physical cores that this process may use; None counts them.

    Raises:
        InputError: a number of parallel processes out of range.
    """
    # No graphs to capture, a cache of 1 GiB, and prefix blocks as small as the backend allows, for
    # short prompts share no prefix at the default size.
    # Whole prefills: one split over two steps makes the runner rewind a seeded request's generator,
    # which CPU generators cannot do (it ends the engine in vLLM 0.32).
    arguments: dict[str, Any] = {
        "enforce_eager": True,
        "max_num_seqs": 256,
        "block_size": 32,
        "enable_chunked_prefill": False,
        "kv_cache_memory_bytes": 2**30,
    }
    if cores is None:
        cores = cpu_count(only_physical_cores=True)
    spread = "distributed_executor_backend" in given or gpu_count(given) > 1
    if cores > FEW_CORES or spread or _bound():
        return arguments, {}
    # One core is left to this process, where requests are made and verifiers run.
    return (
        arguments | {"distributed_executor_backend": ONE_PROCESS},
        {"OMP_NUM_THREADS": str(max(1, cores - 1))},
    )


def _bound() -> bool:
    """Whether the user has said which cores vLLM binds threads to."""
    binding = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "auto")
    return binding not in ("auto", "nobind") or "VLLM_CPU_NUM_OF_RESERVED_CPU" in os.environ
