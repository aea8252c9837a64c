"""A real `vllm serve` on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import torch

READY_SECONDS = 240


@contextmanager
def vllm_serve(model: Path) -> Iterator[str]:
    """The model behind `vllm serve` for as long as the block lasts; yields the server's URL.

    Raises:
        RuntimeError: the server ended, or was not ready in time.
    """
    port = free_port()
    # What `vllm serve` starts; that command itself wants vLLM to be installed under its own name.
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--enable-prompt-tokens-details", "--enforce-eager", "--gpu-memory-utilization", "0.2",
    ]  # fmt: skip
    if not torch.cuda.is_available():
        # As `runtime.engines.vllm_core` sets the engine in process.
        command += ["--block-size", "32", "--no-enable-chunked-prefill"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(READY_SECONDS):
            if process.poll() is not None:
                raise RuntimeError(f"vllm serve ended with status {process.returncode}")
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            time.sleep(1)
        else:
            raise RuntimeError(f"vllm serve was not ready in {READY_SECONDS} seconds")
        yield url
    finally:
        process.terminate()
        process.wait(60)
        with suppress(ProcessLookupError):  # its engine stays where the server was killed
            os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
