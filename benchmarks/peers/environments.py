"""Virtual environments of their own for libraries whose requirements clash with ours."""

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

INSTALL_SECONDS = 1200


@dataclass(frozen=True)
class Environment:
    """What a peer runs in.

    Attributes:
        name: of the folder.
        requirements: what pip is given, versions pinned.
        script: run by its interpreter; imports nothing of this repository.
    """

    name: str
    requirements: tuple[str, ...]
    script: str


ITS_HUB = Environment("its_hub", ("its_hub[lm]==1.2.0",), "its_hub_worker.py")
# Without the exact version pip takes a torch with several gigabytes of CUDA.
OPTILLM = Environment("optillm", ("torch==2.13.0", "optillm==0.4.0"), "optillm_worker.py")


class NotInstalledError(Exception):
    """Why a peer cannot be installed here."""


def interpreter(environment: Environment, folder: Path) -> Path:
    """The interpreter of a peer's environment, which is made where there is none.

    Args:
        environment: what to install.
        folder: holds all environments.

    Raises:
        NotInstalledError: pip failed.
    """
    home = folder / environment.name
    python = home / "bin" / "python"
    installed = home / "installed"
    wanted = "\n".join(environment.requirements)
    if installed.is_file() and installed.read_text() == wanted:
        return python
    venv.create(home, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "-q", *environment.requirements]
    print(f"Installing {', '.join(environment.requirements)} into {home}", file=sys.stderr)
    try:
        done = subprocess.run(
            pip, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"pip took more than {INSTALL_SECONDS} seconds") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise NotInstalledError(f"pip failed: {' '.join(last)}")
    installed.write_text(wanted)
    return python
