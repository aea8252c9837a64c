"""vLLM's engines forked from a process that has imported vLLM once."""

import multiprocessing
from functools import cache
from multiprocessing import forkserver


@cache
def fork_engines() -> None:
    """From now on an engine that this process starts imports nothing, which is most of its start.

    On CPU vLLM starts each in a new interpreter. Here a server of forks, which has imported what
    engines need and has done nothing else, becomes the engine; the engine itself is as it was.
    Engines have the environment of the first one.
    """
    from vllm.v1.engine import utils

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vllm.v1.engine.core", "vllm.v1.worker.cpu_worker"])
    utils.get_mp_context = lambda: context
    forkserver.ensure_running()  # before a test looks which processes there are
