"""A real `ttc serve` on loopback, and what its processes use."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.testbed.paths import ARTIFACT
from benchmarks.throughput.server import READY_SECONDS, free_port

PAGE = os.sysconf("SC_PAGE_SIZE")


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
    engine: str = "vllm", log: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Serving]:
    """The testbed's artifact behind `ttc serve` for as long as the block lasts.

    Args:
        engine: what samples: an engine's name, or URLs of `vllm serve`.
        log: file for what it writes to stderr.
        environment: of it, beside the present one.

    Raises:
        RuntimeError: the server ended, or was not ready in time.
    """
    port = free_port()
    command = [
        sys.executable, "-m", "calibration.cli", "serve", "--artifact", str(ARTIFACT),
        "--engine", engine, "--port", str(port),
    ]  # fmt: skip
    errors = subprocess.DEVNULL if log is None else log.open("wb")
    process = subprocess.Popen(
        command,
        env=os.environ | dict(environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=errors,
        # Not a session of its own: Linux schedules those as groups, and vLLM's processes, which
        # wait by yielding, would keep the clients off the cores for seconds.
        process_group=0,
    )
    serving = Serving(process, f"http://127.0.0.1:{port}")
    try:
        wait_until_ready(serving)
        yield serving
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        for pid in serving.running():
            os.kill(pid, signal.SIGKILL)


def wait_until_ready(serving: Serving) -> None:
    """Until it says that it is healthy.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    for _ in range(READY_SECONDS):
        if serving.process.poll() is not None:
            raise RuntimeError(f"ttc serve ended with status {serving.process.returncode}")
        with suppress(httpx.TransportError):
            if httpx.get(f"{serving.url}/health").status_code == 200:
                return
        time.sleep(1)
    raise RuntimeError(f"ttc serve was not ready in {READY_SECONDS} seconds")
