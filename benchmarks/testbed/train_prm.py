"""Train the testbed's PRM on the base model's own samples; no human labels.

    python -m benchmarks.testbed.train_prm

The recipe is `calibration.training.prm`, the paper's. The numbers differ where the paper's suit a
model of billions: more prompts with fewer samples and rollouts each, for the same sampling, and a
learning rate for a model of 0.8 million parameters.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from allocator.files import whole_file
from benchmarks.testbed.paths import BASE, PRM, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.console import progress
from calibration.training.prm import (
    LabelledSolution,
    LabelSettings,
    TrainSettings,
    label_prompts,
    train_prm,
)
from runtime.answers import answers_for
from runtime.engines.loading import model_fingerprint, open_engine

PROMPT_SEED = 2


async def sample_labels(base: Path, count: int, settings: LabelSettings) -> list[LabelledSolution]:
    """Labelled solutions of `count` training prompts."""
    prompts = [(p.text, p.answer) for p in distinct_problems("train", count, PROMPT_SEED)]
    # On CPU the transformers engine samples this size faster than vLLM does.
    with open_engine(base, "transformers") as engine, progress("Labelling prompts", count) as done:
        return await label_prompts(
            engine, answers_for(SETTINGS.answers), SETTINGS.sampling, prompts, settings, done
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=6000)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--base", type=Path, default=BASE)
    parser.add_argument("--out", type=Path, default=PRM)
    args = parser.parse_args(arguments)
    numbers = f"{args.prompts}-{args.samples}-{args.rollouts}"
    # Labels hold for the model and the numbers they were sampled with: the name says which.
    labels = Path("out") / f"prm_labels-{model_fingerprint(args.base)}-{numbers}.jsonl"
    if labels.is_file():
        print(f"Using the labels in {labels}; remove it to sample again")
        lines = labels.read_text().splitlines()
        solutions = [LabelledSolution(**json.loads(line)) for line in lines]
    else:
        labelling = LabelSettings(samples=args.samples, rollouts=args.rollouts)
        solutions = asyncio.run(sample_labels(args.base, args.prompts, labelling))
        labels.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(labels) as scratch:
            scratch.write_text("".join(json.dumps(asdict(s)) + "\n" for s in solutions))
    training = TrainSettings(learning_rate=args.learning_rate, batch=64, max_epochs=args.epochs)
    train_prm(args.base, args.out, solutions, training)


if __name__ == "__main__":
    main()
