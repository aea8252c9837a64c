"""Train the testbed's PRMs on the base model's own samples; no human labels.

    python -m benchmarks.testbed.train_prm

The recipe is ``ttc train prm --likelihood`` from the backbone, a stronger model than the one that
is sampled: the paper's labels, and a head that reads how likely the backbone finds each token. A
classifier of this size, trained on the same labels, does not find that comparison by itself: its
AUC within a prompt stays at about 0.65.

Two more PRMs, for the paper's figures, are of the base model's size, from the same labels: the
paper's PRM, too, is no larger than its policy. Of these the weak one is misled more often.

The numbers suit a model of billions in the paper; here many prompts have two solutions and one
rollout a step each, in place of 16 and 16. One of the two is sampled at a higher temperature, for
more mistakes to learn from.
"""

import argparse
import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.testbed.paths import (
    BACKBONE,
    BASE,
    OWN_BACKBONE,
    OWN_PRM,
    PRM,
    SETTINGS,
    WEAK_BACKBONE,
    WEAK_PRM,
)
from benchmarks.testbed.task import distinct_problems
from calibration.training.recipes import Source, prm_recipe
from calibration.training.settings import LabelSettings, VerifierSettings

PROMPT_SEED = 2
# On CPU the transformers engine samples this size faster than vLLM does.
SOURCE = Source(
    model=BASE, answers=SETTINGS.answers, sampling=SETTINGS.sampling, engine="transformers"
)
STRONGER = SOURCE.model_copy(update={"backbone": BACKBONE})
# What the testbed's verifiers share.
TRAINING = VerifierSettings(
    likelihood=True,
    learning_rate=1e-3,
    batch=64,
    dropout=0,
    max_epochs=3,
    dtype="float16",
)


def training_prompts(count: int, seed: int) -> list[tuple[str, str]]:
    """(prompt, right answer) pairs of the training split."""
    return [(p.text, p.answer) for p in distinct_problems("train", count, seed)]


def share_samples(trained: Path, to_train: Path) -> None:
    """Let a recipe take the samples of one whose model is trained; both have the same prompts."""
    of, to = (folder.with_name(f"{folder.name}.samples.jsonl") for folder in (trained, to_train))
    shutil.copyfile(of, to)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=TRAINING.max_epochs)
    parser.add_argument("--out", type=Path, default=PRM)
    parser.add_argument("--own", type=Path, default=OWN_PRM, help="folder for the second PRM")
    parser.add_argument("--weak", type=Path, default=WEAK_PRM, help="folder for the weak one")
    args = parser.parse_args(arguments)
    training = TRAINING.model_copy(update={"max_epochs": args.epochs})
    labels = LabelSettings(samples=1, explored=1, rollouts=1)
    prompts = training_prompts(args.prompts, PROMPT_SEED)
    asyncio.run(prm_recipe(STRONGER, prompts, args.out, labels, training))
    for out, backbone in ((args.own, OWN_BACKBONE), (args.weak, WEAK_BACKBONE)):
        share_samples(args.out, out)
        source = SOURCE.model_copy(update={"backbone": backbone})
        asyncio.run(prm_recipe(source, prompts, out, labels, training))


if __name__ == "__main__":
    main()
