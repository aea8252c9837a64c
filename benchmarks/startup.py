"""The first minutes: how long the install, the first commands and the demo take.

    python -m benchmarks.startup

The install is the one of `make demo`, with uv's cache empty, into an environment that is made for
it and removed again; the demo then runs there, as for a new user: nothing that it imports has been
compiled to bytecode before. The quick commands are timed several times after a first time that
fills the file cache: their value is the median, low and high the minimum and the maximum.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from allocator.errors import ModelError
from benchmarks.targets import at_most, once, show_targets, write_result
from benchmarks.testbed.paths import ARTIFACT
from calibration.progress import console, progress
from calibration.report.targets import Interval, Target

ROOT = Path(__file__).parent.parent
REPEATS = 7
QUICK_TARGET, INSTALL_TARGET, DEMO_TARGET = 1.0, 60.0, 180.0


def seconds(command: list[str | Path], **options: Any) -> float:
    """Wall time of a command; what it prints is shown only if it fails.

    Raises:
        ModelError: it fails.
    """
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)
    if done.returncode:
        raise ModelError(" ".join(map(str, command)), done.stdout + done.stderr)
    return time.perf_counter() - started


def repeated(command: list[str | Path]) -> Interval:
    """Median, minimum and maximum wall time of a quick command."""
    seconds(command)
    times = [seconds(command) for _ in range(REPEATS)]
    return statistics.median(times), min(times), max(times)


def measure(folder: Path) -> tuple[dict[str, Any], list[Target]]:
    """Everything, in the order in which a new user meets it.

    Args:
        folder: an empty one, for the environment and for what the demo writes.
    """
    environment = folder / "environment"
    ttc = environment / "bin" / "ttc"
    empty = os.environ | {"UV_CACHE_DIR": str(folder / "cache")}
    with progress("Steps", 4) as done:
        installing = seconds(["make", "install", f"VENV={environment}"], env=empty)
        done(None)
        demo = seconds([ttc, "demo", "--engine", "vllm", "--out", folder])
        done(None)
        listing = repeated([ttc, "--help"])
        done(None)
        inspecting = repeated([ttc, "inspect", ARTIFACT])
        done(None)
    shown = json.loads((folder / "demo.json").read_text())
    return {"repeats": REPEATS, "prompts": shown["prompts"]}, [
        at_most("seconds of ttc --help", listing, QUICK_TARGET),
        at_most("seconds of ttc inspect", inspecting, QUICK_TARGET),
        at_most("seconds of the install", once(installing), INSTALL_TARGET),
        at_most("seconds of the demo", once(demo), DEMO_TARGET),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        data, targets = measure(Path(folder))
    show_targets(targets)
    write_result(out / "startup.json", data, targets)
    console.print(f"Wrote {out / 'startup.json'}.")


if __name__ == "__main__":
    main()
