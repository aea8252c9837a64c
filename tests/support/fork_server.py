"""vLLM's engines and servers forked from a process that has imported vLLM once."""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import BaseContext, ForkServerContext
from pathlib import Path

from benchmarks.serving.processes import (
    VLLM_ENVIRONMENT,
    VLLM_SERVER,
    free_port,
    vllm_arguments,
    wait_until_ready,
)

PRELOADED = ["vllm.v1.engine.core", "vllm.v1.worker.cpu_worker", VLLM_SERVER, __name__]


@cache
def fork_engines() -> ForkServerContext:
    """From now on an engine that this process starts imports nothing, which is most of its start.

    On CPU vLLM starts each in a new interpreter. Here a server of forks, which has imported what
    engines need and has done nothing else, becomes the engine; the engine itself is as it was.
    Engines and servers have the environment of the first one.

    Returns:
        What starts such processes.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    _start_engines_in(context)
    forkserver.ensure_running()  # before a test looks which processes there are
    return context


@contextmanager
def vllm_serve(model: Path, *options: str) -> Iterator[str]:
    """As `benchmarks.serving.processes.vllm_serve`, but forked."""
    port = free_port()
    process = fork_engines().Process(target=_serve, args=(vllm_arguments(model, port, *options),))
    process.start()
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, "vllm serve", lambda: process.exitcode)
        yield url
    finally:
        process.terminate()
        process.join(60)
        with suppress(ProcessLookupError):  # an engine stays where its server was killed
            os.killpg(process.pid, signal.SIGKILL)


def _serve(arguments: list[str]) -> None:
    """Become the server, and the leader of a process group with its engine.

    Its errors are shown where the first engine of the test run writes.
    """
    os.setpgid(0, 0)
    os.environ.update(VLLM_ENVIRONMENT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _start_engines_in(multiprocessing.get_context("fork"))
    sys.argv[1:] = arguments
    runpy.run_module(VLLM_SERVER, run_name="__main__")


def _start_engines_in(context: BaseContext) -> None:
    from vllm.v1.engine import utils

    utils.get_mp_context = lambda: context
