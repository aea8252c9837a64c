"""vLLM's engines, servers and scripts forked from a process that has imported vLLM once."""

import atexit
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import BaseContext, ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from huggingface_hub import constants

from benchmarks.serving.processes import (
    VLLM_SERVER,
    free_port,
    vllm_arguments,
    wait_until_ready,
)

PRELOADED = [
    *("vllm.v1.engine.core", "vllm.v1.worker.cpu_worker", "vllm.entrypoints.llm"),
    *(VLLM_SERVER, __name__),
]


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


class ForkedScript:
    """A script run as `python SCRIPT ARGUMENT ...` runs it, but forked; killed as its block ends.

    Args:
        script: the script.
        arguments: of its command line.
        environment: of it, beside that of the first engine.
        cwd: where it runs; None runs it here.
    """

    def __init__(
        self,
        script: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._argv = [str(script), *arguments]
        self._folder = TemporaryDirectory()
        self._outputs = [str(Path(self._folder.name) / name) for name in ("out", "err")]
        self._process = fork_engines().Process(
            target=_run,
            args=(self._argv, dict(environment or {}), str(cwd or Path.cwd()), self._outputs),
        )
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        with suppress(ProcessLookupError):  # an engine stays where its script was killed
            os.killpg(self._process.pid, signal.SIGKILL)
        self._folder.cleanup()

    def completed(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """Its exit status and what it wrote, once it has ended.

        Raises:
            TimeoutExpired: it did not end in so many seconds.
        """
        self._process.join(seconds)
        status = self._process.exitcode
        out, err = (Path(path).read_text() for path in self._outputs)
        if status is None:
            raise subprocess.TimeoutExpired(self._argv, seconds, out, err)
        return subprocess.CompletedProcess(self._argv, status, out, err)


def _run(argv: list[str], environment: dict[str, str], cwd: str, outputs: list[str]) -> None:
    """Become the script, and the leader of a process group with its engine."""
    os.setpgid(0, 0)
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.update(environment)
    importlib.reload(constants)  # it has read the environment when it was imported
    _start_engines_in(multiprocessing.get_context("fork"))
    sys.argv[:] = argv
    sys.path.insert(0, str(Path(argv[0]).parent))
    try:
        runpy.run_path(argv[0], run_name="__main__")
    finally:
        # An interpreter does it at its end, a fork does not: it closes engines that are still open.
        atexit._run_exitfuncs()


def _serve(arguments: list[str]) -> None:
    """Become the server, and the leader of a process group with its engine.

    Its errors are shown where the first engine of the test run writes.
    """
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _start_engines_in(multiprocessing.get_context("fork"))
    sys.argv[1:] = arguments
    runpy.run_module(VLLM_SERVER, run_name="__main__")


def _start_engines_in(context: BaseContext) -> None:
    from vllm.v1.engine import utils

    assert callable(utils.get_mp_context), "vLLM has another name for it"
    utils.get_mp_context = lambda: context
