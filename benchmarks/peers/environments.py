"""Virtual environments of their own for libraries whose requirements clash with ours.

They are made by uv: pip takes over ten minutes to find versions of all that optillm requires.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from calibration.progress import console

INSTALL_SECONDS = 1200


@dataclass(frozen=True)
class Environment:
    """What a peer runs in.

    Attributes:
        name: of the folder.
        requirements: what is installed, versions pinned.
        script: run by its interpreter; imports nothing of this repository.
    """

    name: str
    requirements: tuple[str, ...]
    script: str


ITS_HUB = Environment("its_hub", ("its_hub[lm]==1.2.0",), "its_hub_worker.py")
# Pinned, for a CPU build of just this version may be at hand; any other comes with CUDA.
OPTILLM = Environment("optillm", ("torch==2.13.0", "optillm==0.4.0"), "optillm_worker.py")


class NotInstalledError(Exception):
    """Why a peer cannot be installed here."""


def interpreter(environment: Environment, folder: Path) -> Path:
    """The interpreter of a peer's environment, which is made where there is none.

    Args:
        environment: what to install.
        folder: holds all environments.

    Raises:
        NotInstalledError: what failed.
    """
    home = folder / environment.name
    python = home / "bin" / "python"
    installed = home / "installed"
    wanted = "\n".join(environment.requirements)
    if installed.is_file() and installed.read_text() == wanted:
        return python
    uv = [sys.executable, "-m", "uv"]
    # Where pip looks for wheels, as for a CPU build of torch, uv is to look too.
    wheels = os.environ.get("PIP_FIND_LINKS", "").replace(" ", ",")
    settings = os.environ | {"UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS", wheels)}
    console.print(f"Installing {', '.join(environment.requirements)} into {home}", markup=False)
    for command in (
        [*uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)],
        [*uv, "pip", "install", "-q", "--python", str(python), *environment.requirements],
    ):
        try:
            done = subprocess.run(
                command,
                env=settings,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"more than {INSTALL_SECONDS} seconds to install") from None
        if done.returncode:
            raise NotInstalledError(" ".join(done.stderr.split()))
    installed.write_text(wanted)
    return python
