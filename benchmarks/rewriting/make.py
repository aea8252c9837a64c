"""Make the rewriting task's prompts and train its language models.

    python -m benchmarks.rewriting.make

The base model is a Llama of 0.34 million parameters. Its training stops at a fixed number of steps,
before the model stops making mistakes, as the testbed's does. The backbone, of 0.8 million, is
trained four times as long, and hardly makes any. The PRM is then made of the backbone, and the
artifact calibrated, by the public commands: see ``make rewriting``.
"""

import argparse
import json
from pathlib import Path

from benchmarks.rewriting.paths import BASE, CALIBRATION_PROMPTS
from benchmarks.rewriting.task import CHARACTERS, distinct_problems, problems
from benchmarks.testbed.task import Split
from benchmarks.testbed.train_base import train

TRAINING_PROMPTS = Path("out/rewriting/train.jsonl")
BACKBONE = Path("out/rewriting/backbone")
PRM_SEED, CALIBRATION_SEED = 2, 4
BACKBONE_TIMES = 4  # the base model's tokens


def write_prompts(path: Path, split: Split, count: int, seed: int) -> None:
    """Graded prompts of one split, as ``ttc`` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for problem in distinct_problems(split, count, seed):
            file.write(json.dumps({"prompt": problem.text, "answer": problem.answer}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=840)
    parser.add_argument("--prompts", type=int, default=6000, help="for the PRM's training")
    parser.add_argument("--out", type=Path, default=BASE, help="folder for the base model")
    parser.add_argument("--backbone", type=Path, default=BACKBONE, help="likewise")
    args = parser.parse_args()
    write_prompts(CALIBRATION_PROMPTS, "calibration", 400, CALIBRATION_SEED)
    write_prompts(TRAINING_PROMPTS, "train", args.prompts, PRM_SEED)
    for out, width, layers, steps in (
        (args.out, 96, 3, args.steps),
        (args.backbone, 128, 4, BACKBONE_TIMES * args.steps),
    ):
        train(
            problems,
            CHARACTERS,
            out,
            width=width,
            layers=layers,
            steps=steps,
            tokens=4096,
            peak_rate=3e-3,
        )


if __name__ == "__main__":
    main()
