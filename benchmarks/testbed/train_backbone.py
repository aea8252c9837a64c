"""Train the strong model that the testbed's verifiers are made of.

    python -m benchmarks.testbed.train_backbone

In practice a verifier is a stronger model than the one that it verifies: a PRM of 7 billion
parameters scores solutions of a model of 1.5 billion. This one has 2.3 million parameters to the
base's 0.8, and sees five times the base's tokens of the same training prompts, until it hardly errs
at single operations. About an hour on 2 idle cores; an interrupted training resumes.
"""

import argparse
from pathlib import Path

from benchmarks.testbed.task import CHARACTERS, problems
from benchmarks.testbed.train_base import STEPS, TOKENS, train

WIDTH, LAYERS = 192, 5
TIMES = 5  # the base's tokens


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=TIMES * STEPS)
    parser.add_argument("--peak-rate", type=float, default=2e-3)
    parser.add_argument("--out", type=Path, default=Path("out/backbone"))
    args = parser.parse_args()
    train(
        problems,
        CHARACTERS,
        args.out,
        width=WIDTH,
        layers=LAYERS,
        steps=args.steps,
        tokens=TOKENS,
        peak_rate=args.peak_rate,
    )


if __name__ == "__main__":
    main()
