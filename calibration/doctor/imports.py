"""Whether the packages that run models import, and why one does not, in plain words."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

PROBE = Path(__file__).with_name("probe.py")
SECONDS = 120.0  # a cold disk may take half a minute to read vLLM and torch

# The last line of errors that have a known cause, and what to do about them. Groups of the pattern
# are filled in.
CAUSES = (
    (
        r"not been imported within",
        "the disk or the machine may be slow or busy: run ttc doctor again",
    ),
    (
        r"No module named '([\w.]+)'",
        "{0} is not installed, or in a version without that part: install it, in the version that "
        "{package} requires",
    ),
    (r"libgomp", "OpenMP is missing: apt-get install libgomp1"),
    (
        r"(lib(?:cu|nv)[\w.-]+): cannot open shared object",
        "this build is for CUDA, and {0} is not here: install the build of {package} for this "
        "machine, or NVIDIA's driver and libraries",
    ),
    (
        r"(lib[\w.+-]+): cannot open shared object",
        "the system library {0} is missing: install it with the system's package manager",
    ),
    (
        r"torchvision|torchaudio|torchcodec",
        "a package beside torch is built for another torch: "
        "pip uninstall torchvision torchaudio torchcodec",
    ),
    (
        r"undefined symbol",
        "it was built for another version of torch: install it anew, with the torch that it brings",
    ),
    (
        r"cannot import name|has no attribute",
        "two packages do not fit: install the versions that {package} requires",
    ),
)


@dataclass(frozen=True)
class Import:
    """How an import went.

    Attributes:
        error: the last line of its error; None if it went well.
        found: what the probe found, see `calibration.doctor.probe`.
    """

    error: str | None
    found: dict[str, Any] = field(default_factory=dict)


def imported(package: str) -> Import:
    """Import a package that ends no process into this one, which goes on with it."""
    try:
        import_module(package)
    except Exception as error:  # whatever its import raises is what is wrong with it
        lines = str(error).strip().splitlines()
        return Import(f"{type(error).__name__}: {lines[-1] if lines else ''}")
    return Import(None)


def probed(package: str, seconds: float = SECONDS) -> Import:
    """Import a package in a process of its own.

    Args:
        package: one of those of `calibration.doctor.probe`.
        seconds: time that it may take.
    """
    command = [sys.executable, "-P", str(PROBE), package]
    quiet = os.environ | {"VLLM_LOGGING_LEVEL": "ERROR"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=quiet)
    except subprocess.TimeoutExpired:
        return Import(f"it has not been imported within {seconds:g} seconds")
    if done.returncode < 0:
        return Import(f"it ended Python by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return Import(lines[-1].strip() if lines else f"exit status {done.returncode}")
    return Import(None, json.loads(done.stdout.splitlines()[-1]))


def explained(package: str, error: str) -> str:
    """What is wrong with a package that does not import, and what to do."""
    for pattern, words in CAUSES:
        if found := re.search(pattern, error):
            cause = words.format(*found.groups(), package=package)
            break
    else:
        cause = f"install {package} anew, in an environment of its own if that does not help"
    return f"{package} does not import: {cause} ({error})"
