"""The figures of the testbed that `make testbed` has just trained: how far they depend on chance.

    make testbed
    python -m benchmarks.testbed.again

Measures what the new artifact saves on the test prompts (``ttc bench``), and writes it beside the
new models' measurements to `out/testbed-again.json`.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.targets import bounded, show_targets, write_result
from benchmarks.testbed.paths import ARTIFACT, TEST_PROMPTS
from calibration.replay.saving_rows import SHARES, saving_row
from calibration.report.targets import Target, reported

OUT = Path("out")


def benched() -> dict[str, Any]:
    """``bench.json`` of the artifact on the test prompts."""
    with TemporaryDirectory() as folder:
        options = ["--artifact", str(ARTIFACT), "--out", folder, "--engine", "transformers"]
        command = [sys.executable, "-m", "calibration.cli", "bench", str(TEST_PROMPTS), *options]
        subprocess.run(command, check=True)
        found: dict[str, Any] = json.loads((Path(folder) / "bench.json").read_text())
    return found


def savings(found: dict[str, Any]) -> list[Target]:
    """What the artifact's cheapest way saves at the baseline's largest budget."""
    top = max(row["budget"] for row in found["gains"])
    targets = []
    for share in SHARES:
        at = "at its accuracy" if share == 1 else f"at {share:.0%} of the way to it"
        name = (
            f"{found['policy']}: times fewer generations than {found['baseline']}, N = {top}, {at}"
        )
        row = saving_row(found["gains"], found["policy"], top, "generations", share)
        targets.append(reported(name, bounded(row)))
    return targets


def main() -> None:
    measured = json.loads((OUT / "testbed.json").read_text())
    found = benched()
    targets = [Target.model_validate(row) for row in measured["targets"]] + savings(found)
    show_targets(targets)
    write_result(OUT / "testbed-again.json", {"prompts": found["prompts"]}, targets)


if __name__ == "__main__":
    main()
