"""Train the testbed's PRM on the base model's own samples; no human labels.

    python -m benchmarks.testbed.train_prm

The recipe is ``ttc train prm``, the paper's. Its numbers suit a model of billions; for one of 0.8
million parameters they differ:

- many prompts with one solution and one rollout a step each, in place of 16 and 16: what a small
  verifier lacks is lines of arithmetic it has not seen, and sampling costs the same.
- two layers on top, so that the verifier can compare what the language model would have written
  with what it wrote.
- a learning rate thirty times as great, and no dropout, which is slow on CPU.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from benchmarks.testbed.paths import BASE, PRM, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.training.fine_tune import TrainSettings
from calibration.training.labels import LabelSettings
from calibration.training.recipes import Source, prm_recipe

PROMPT_SEED = 2


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=PRM)
    args = parser.parse_args(arguments)
    # On CPU the transformers engine samples this size faster than vLLM does.
    source = Source(
        model=BASE, answers=SETTINGS.answers, sampling=SETTINGS.sampling, engine="transformers"
    )
    prompts = [(p.text, p.answer) for p in distinct_problems("train", args.prompts, PROMPT_SEED)]
    training = TrainSettings(
        learning_rate=1e-3,
        batch=64,
        dropout=0,
        max_epochs=args.epochs,
        extra_layers=2,
        compile=True,
    )
    labels = LabelSettings(samples=1, rollouts=1)
    asyncio.run(prm_recipe(source, prompts, args.out, labels, training))


if __name__ == "__main__":
    main()
