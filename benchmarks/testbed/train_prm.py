"""Train the testbed's PRM on the base model's own samples; no human labels.

    python -m benchmarks.testbed.train_prm

The recipe is ``ttc train prm``, the paper's. Its numbers suit a model of billions; for one of 0.8
million parameters they differ:

- many prompts with two solutions and one rollout a step each, in place of 16 and 16: what a small
  verifier lacks is lines of arithmetic it has not seen, and sampling costs the same. One of the
  two is sampled at a higher temperature, for more mistakes to learn from.
- two layers on top, to compare what was written with what the layers below would have written.
- a learning rate thirty times as great, and no dropout, which is slow on CPU.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from benchmarks.testbed.paths import BASE, PRM, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.training.recipes import Source, prm_recipe
from calibration.training.settings import LabelSettings, TrainSettings

PROMPT_SEED = 2
# On CPU the transformers engine samples this size faster than vLLM does.
SOURCE = Source(
    model=BASE, answers=SETTINGS.answers, sampling=SETTINGS.sampling, engine="transformers"
)
# What all of the testbed's fine-tunings share.
TRAINING = TrainSettings(learning_rate=1e-3, batch=64, dropout=0, compile=True)
VERIFIER_TRAINING = TRAINING.model_copy(update={"extra_layers": 2})


def training_prompts(count: int, seed: int) -> list[tuple[str, str]]:
    """(prompt, right answer) pairs of the training split."""
    return [(p.text, p.answer) for p in distinct_problems("train", count, seed)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=16_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=PRM)
    args = parser.parse_args(arguments)
    training = VERIFIER_TRAINING.model_copy(update={"max_epochs": args.epochs})
    labels = LabelSettings(samples=1, explored=1, rollouts=1)
    prompts = training_prompts(args.prompts, PROMPT_SEED)
    asyncio.run(prm_recipe(SOURCE, prompts, args.out, labels, training))


if __name__ == "__main__":
    main()
