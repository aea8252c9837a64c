"""Everything that ``ttc doctor`` finds out."""

from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from pathlib import Path

from pydantic import BaseModel

from calibration.doctor.artifact import ArtifactCheck, ArtifactFound, memory_problem
from calibration.doctor.imports import Import, explained, imported, probed
from calibration.doctor.installed import installed_extras, unmet
from calibration.doctor.machine import (
    Disk,
    Gpu,
    Memory,
    disk_problems,
    disks,
    driver_gpus,
    gpu_problems,
    machine_memory,
)
from calibration.report.provenance import provenance


class Diagnosis(BaseModel):
    """What is installed, what the machine has, and what is wrong.

    Attributes:
        python: Python's version.
        versions: versions of distributions, by name.
        extras: whether each optional part is installed.
        imports: None for a package that imports, else the last line of its error.
        machine: cores and processor.
        memory: the machine's; None if it is unknown.
        cuda: version of CUDA, or of ROCm, that torch is built for; None if it is for the CPU.
        gpus: those that torch can use.
        disks: those that are written to.
        artifact: the artifact that was examined; None if there was none.
        problems: what is wrong, each in a sentence that says what to do.
    """

    python: str
    versions: dict[str, str]
    extras: dict[str, bool]
    imports: dict[str, str | None]
    machine: str
    memory: Memory | None
    cuda: str | None
    gpus: list[Gpu]
    disks: list[Disk]
    artifact: ArtifactFound | None
    problems: list[str]


def diagnose(folder: Path | None = None) -> Diagnosis:
    """Examine the installation, the machine and, if there is one, an artifact's folder.

    Nothing is downloaded, and no weights are loaded.
    """
    extras = installed_extras()
    vllm = ["vllm"] if extras["vllm"] else []
    with ThreadPoolExecutor() as pool:
        running = {name: pool.submit(probed, name) for name in ("torch", "lightgbm", *vllm)}
        imports = {name: running[name].result() for name in ("torch", "lightgbm")}
        # While vLLM is imported, which takes longest.
        if imports["torch"].error is None:
            imports["transformers"] = imported("transformers.models.auto")
        check = None if folder is None else ArtifactCheck(folder)
        artifact = check.run() if check is not None and not _failures(imports) else None
        imports |= {name: running[name].result() for name in vllm}
    gpus = [Gpu(**gpu) for gpu in imports["torch"].found.get("gpus", ())]
    memory, written = machine_memory(), disks()
    problems = [*unmet(), *starmap(explained, _failures(imports).items())]
    if check is not None and artifact is None:
        problems.append(f"artifact: {folder} was not examined: that takes the packages above")
    problems += gpu_problems(imports["torch"], imports.get("vllm"), driver_gpus())
    problems += disk_problems(written)
    if check is not None:
        problems += check.problems
    if artifact is not None and (large := memory_problem(artifact, memory, gpus)) is not None:
        problems.append(large)
    made = provenance()
    return Diagnosis(
        python=made["python"],
        versions=made["versions"],
        extras=extras,
        imports={name: one.error for name, one in imports.items()},
        machine=made["machine"],
        memory=memory,
        cuda=imports["torch"].found.get("cuda"),
        gpus=gpus,
        disks=written,
        artifact=artifact,
        problems=problems,
    )


def _failures(imports: dict[str, Import]) -> dict[str, str]:
    """Errors of the packages that do not import, by name."""
    return {name: one.error for name, one in imports.items() if one.error is not None}
