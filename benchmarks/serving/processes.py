"""A real `ttc serve` or `vllm serve` on loopback, and what its processes use."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.testbed.paths import ARTIFACT
from runtime.engines.engine_args import EngineArgs
from runtime.engines.environment import has_gpu
from runtime.engines.vllm_on_cpu import cpu_start

PAGE = os.sysconf("SC_PAGE_SIZE")
READY_SECONDS, LOOK_SECONDS = 240, 0.1

# What `vllm serve` starts; that command itself wants vLLM to be installed under its own name.
VLLM_SERVER = "vllm.entrypoints.openai.api_server"


@dataclass(frozen=True)
class Serving:
    """A running server.

    Attributes:
        process: its main process, the leader of a process group of its own.
        url: where it listens.
    """

    process: subprocess.Popen[bytes]
    url: str

    def running(self) -> dict[int, str]:
        """Its processes that are alive, by id, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError, IndexError):
                # The name, which may hold anything, stands in parentheses.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.process.pid and fields[0] != "Z":
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode(errors="replace").strip()
        return found

    def memory(self) -> int:
        """Bytes that its processes hold in memory, what they share counted for each."""
        total = 0
        for pid in self.running():
            with suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        return total

    def engine(self) -> int:
        """The id of the process in which vLLM's engine runs.

        Raises:
            RuntimeError: there is none.
        """
        for pid, command in self.running().items():
            if "EngineCore" in command:
                return pid
        raise RuntimeError(f"no engine among {self.running()}")


@contextmanager
def ttc_serve(
    engine: str = "vllm",
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    artifact: str = str(ARTIFACT),
) -> Iterator[Serving]:
    """An artifact, by default the testbed's, behind `ttc serve` for as long as the block lasts.

    Args:
        engine: what samples: an engine's name, or URLs of `vllm serve`.
        log: file for what it writes to stderr.
        environment: of it, beside the present one.
        artifact: a folder, or a name on the Hub.

    Raises:
        RuntimeError: the server ended, or was not ready in time.
    """
    port = free_port()
    command = [
        sys.executable, "-m", "calibration.cli", "serve", "--artifact", artifact,
        "--engine", engine, "--port", str(port),
    ]  # fmt: skip
    with _serving("ttc serve", command, port, environment or {}, log) as serving:
        yield serving


@contextmanager
def vllm_serve(model: Path, *options: str) -> Iterator[str]:
    """The model behind `vllm serve` for as long as the block lasts; yields the server's URL.

    Args:
        model: its folder.
        options: further ones of the command line.

    Raises:
        RuntimeError: the server ended, or was not ready in time.
    """
    port = free_port()
    command = [sys.executable, "-m", VLLM_SERVER, *vllm_arguments(model, port, *options)]
    _, environment = vllm_start()
    with _serving("vllm serve", command, port, environment) as serving:
        yield serving.url


def vllm_start() -> tuple[EngineArgs, dict[str, str]]:
    """Arguments and environment variables by which a user's own vLLM starts as this library's."""
    return ({}, {}) if has_gpu() else cpu_start({})


def vllm_arguments(model: Path, port: int, *options: str) -> list[str]:
    """The command line of `VLLM_SERVER`.

    Args:
        model: the model's folder.
        port: where it listens on loopback.
        options: further ones.
    """
    arguments, _ = vllm_start()
    settings = {"enforce_eager": True, "gpu_memory_utilization": 0.2} | arguments
    return [
        "--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--enable-prompt-tokens-details",
        *(part for name, value in settings.items() for part in _option(name, value)),
        *options,
    ]  # fmt: skip


def _option(name: str, value: Any) -> list[str]:
    """An argument of the engine as vLLM's command line has it."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    return [f"--{dashed}", str(value)]


@contextmanager
def _serving(
    name: str,
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str],
    log: Path | None = None,
) -> Iterator[Serving]:
    """A server's process, from when it is healthy until the block ends."""
    with open(os.devnull if log is None else log, "wb") as errors:
        process = subprocess.Popen(
            command,
            env=os.environ | dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # Not a session of its own: Linux schedules those as groups, and processes of vLLM that
            # wait by yielding would keep the clients off the cores for seconds.
            process_group=0,
        )
    serving = Serving(process, f"http://127.0.0.1:{port}")
    try:
        wait_until_ready(serving.url, name, process.poll)
        yield serving
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with suppress(ProcessLookupError):  # an engine stays where its server was killed
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(url: str, name: str, ended: Callable[[], int | None]) -> None:
    """Wait until a server says that it is healthy.

    Args:
        url: the server's.
        name: its name, for the error.
        ended: the exit status of its process, None while it runs.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if (status := ended()) is not None:
            raise RuntimeError(f"{name} ended with status {status}")
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health").status_code == 200:
                return
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"{name} was not ready in {READY_SECONDS} seconds")


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
