"""Calibrate the testbed's artifact, which the demo reads.

    python -m benchmarks.testbed.calibrate

The same as ``ttc calibrate`` with the testbed's settings. Remove benchmarks/testbed/artifact first.
"""

import asyncio

from benchmarks.testbed.paths import ARTIFACT, CALIBRATION_PROMPTS, SETTINGS
from calibration.calibrate import calibrate
from calibration.cli.console import render_table
from calibration.data.datasets import DataSettings, read_graded_prompts
from calibration.progress import console, progress
from calibration.settings import CalibrationSettings

# Every search and width. With a verifier this strong larger searches are worth sampling; those
# that lead nowhere are run on the prompts of the race alone. At budgets between the powers of two,
# pilots fit beside a search.
OPTIONS = CalibrationSettings(
    budgets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
    pilots=(0, 1, 2, 4, 8),
    n_bins=5,
    seed=6,
    strategies=("best_of_n", "beam_search", "dvts"),
    max_beams=64,
    widths="every",
    lookaheads=(1, 3),
    raced=60,
    runs=3,
)


def main() -> None:
    prompts = read_graded_prompts(str(CALIBRATION_PROMPTS), DataSettings())
    with progress("Sampling prompts", len(prompts)) as done:
        made = asyncio.run(
            calibrate(
                prompts,
                SETTINGS,
                ARTIFACT,
                OPTIONS,
                # On CPU it samples this size faster than vLLM does; the models are the same.
                engine="transformers",
                done=done,
            )
        )
    console.print(render_table(made.table))
    console.print(render_table(made.oracle_table))


if __name__ == "__main__":
    main()
