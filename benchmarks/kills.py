"""Calibration survives ``kill -9``: twenty times, at random moments.

    python -m benchmarks.kills

A real calibration on the testbed is killed and started again repeatedly. Whenever one ends, its
table is compared byte for byte with that of an uninterrupted calibration, and the next begins.
About five minutes on 2 cores. Writes out/kills.json.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.targets import at_least, show_targets, write_result
from benchmarks.testbed.paths import BASE, PRM, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.progress import progress
from calibration.report.targets import reported
from calibration.sampling.resume import UNFINISHED
from runtime.artifact import TABLE

KILLS, PROMPTS, SEED = 20, 40, 51


def command(prompts: Path, out: Path) -> list[str]:
    """A small calibration."""
    models = ["--model", str(BASE), "--verifier", str(PRM), "--engine", "transformers"]
    task = ["--answers", SETTINGS.answers, "--step-end", r"\n", "--max-tokens", "160"]
    size = ["--budgets", "1,4,8", "--pilots", "2", "--bins", "3"]
    head = [
        sys.executable,
        "-m",
        "calibration.cli",
        "calibrate",
        str(prompts),
        "--out",
        str(out),
    ]
    return [*head, *models, *task, *size]


def run(prompts: Path, out: Path, limit: float | None) -> bool:
    """Run until it ends, or kill it after the given seconds; returns whether it ended."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(prompts, out), stdout=quiet, stderr=quiet)
    try:
        if process.wait(limit) != 0:
            raise RuntimeError(f"the calibration ended with status {process.returncode}")
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # The folder is written atomically; the report, which follows, can be written again.
    return out.exists()


def main() -> None:
    rng = np.random.default_rng(SEED)
    with TemporaryDirectory() as folder, progress("Kills", KILLS) as done:
        prompts = Path(folder) / "prompts.jsonl"
        rows = [
            {"prompt": p.text, "answer": p.answer}
            for p in distinct_problems("calibration", PROMPTS, SEED)
        ]
        prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
        started = time.perf_counter()
        run(prompts, Path(folder) / "whole", None)
        seconds = time.perf_counter() - started
        expected = (Path(folder) / "whole" / TABLE).read_bytes()
        kills, with_samples = 0, 0
        same: list[bool] = []
        while kills < KILLS or not same:
            out = Path(folder) / f"killed{len(same)}"
            # After the last kill it runs to its end.
            while not run(prompts, out, rng.uniform(0, seconds) if kills < KILLS else None):
                kills += 1
                samples = out.with_name(f"{out.name}.samples")
                with_samples += any(samples.glob("part-*")) or any(samples.glob(f"{UNFINISHED}/*"))
                done(None)
            same.append((out / TABLE).read_bytes() == expected)
    ended = len(same)
    targets = [
        at_least(
            "share of resumed calibrations with the same table", (float(np.mean(same)),) * 3, 1
        ),
        at_least("kills", (kills,) * 3, KILLS),
        reported("kills after which there were samples to go on with", (with_samples,) * 3),
    ]
    show_targets(targets)
    write_result(
        Path("out/kills.json"),
        {"kills": kills, "ended": ended, "seconds_undisturbed": seconds, "seed": SEED},
        targets,
    )


if __name__ == "__main__":
    main()
