"""Train the larger model that the figures set test-time compute against, and sample it.

    python -m benchmarks.testbed.train_larger [--steps 6200] [--seeds 1 2 3]

About 14 times the base model's parameters, as in the paper (section 7), on the same training data,
in more and smaller steps; the default is as many tokens, 16 minutes on 2 idle cores. That is done
once per seed, for one training's accuracy says little. Weights stay in out/larger, too large to be
kept in the repository: what is kept there are samples of the test prompts and what they were
trained on. An interrupted run goes on when it is started again; what is trained is not trained
again, until out/larger is removed.
"""

import argparse
import asyncio
from pathlib import Path

from transformers import AutoModelForCausalLM

from benchmarks.figures.larger import SEEDS, Pretraining, join_larger, sample_larger
from benchmarks.testbed.paths import BASE
from benchmarks.testbed.task import CHARACTERS, problems
from benchmarks.testbed.train_base import STEPS, TOKENS, train
from runtime.concurrency import sharing_cores

# 15 heads of 32: 14.06 times the base model's parameters, embeddings not counted.
WIDTH = 480
# A third of the base model's: a wider model bears less.
PEAK_RATE = 1e-3
# A quarter of the base model's: tokens are expensive here, and smaller steps take fewer of them.
TOKENS_A_STEP = TOKENS // 4
RECORD = "pretraining.json"


def parameters(model: Path) -> int:
    """Parameters of a model, embeddings not counted."""
    loaded = AutoModelForCausalLM.from_pretrained(model)
    return int(loaded.num_parameters(exclude_embeddings=True))


def trained(out: Path, seed: int, steps: int) -> Pretraining:
    """Train the larger model into a folder; returns what it was trained on."""
    train(
        problems,
        CHARACTERS,
        out,
        width=WIDTH,
        steps=steps,
        tokens=TOKENS_A_STEP,
        peak_rate=PEAK_RATE,
        seed=seed,
    )
    return Pretraining(
        parameters=parameters(out),
        tokens=steps * TOKENS_A_STEP,
        base_parameters=parameters(BASE),
        base_tokens=STEPS * TOKENS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS * TOKENS // TOKENS_A_STEP)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="one training each")
    parser.add_argument("--out", type=Path, default=Path("out/larger"))
    args = parser.parse_args()
    models = [args.out / str(seed) for seed in args.seeds]
    for seed, model in zip(args.seeds, models, strict=True):
        if not (model / RECORD).is_file():
            trained(model, seed, args.steps).save(model / RECORD)
        with sharing_cores():
            asyncio.run(sample_larger(model))
    join_larger(models, Pretraining.load(models[0] / RECORD))


if __name__ == "__main__":
    main()
