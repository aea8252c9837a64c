"""Train the larger model that the figures set test-time compute against, and sample it.

    python -m benchmarks.testbed.train_larger [--steps 6200]

About 14 times the base model's parameters, as in the paper (section 7), on the same training data,
in more and smaller steps; the default is as many tokens, 16 minutes on 2 idle cores. Its weights
stay in out/larger, too large to be kept in the repository: what is kept there are its samples of
the test prompts and what it was trained on. An interrupted run goes on when it is started again;
one that is through only samples, until out/larger is removed.
"""

import argparse
import asyncio
from pathlib import Path

from transformers import AutoModelForCausalLM

from benchmarks.figures.larger import Pretraining, sample_larger
from benchmarks.testbed.paths import BASE
from benchmarks.testbed.task import CHARACTERS, problems
from benchmarks.testbed.train_base import STEPS, TOKENS, train
from runtime.engines.concurrency import sharing_cores

# 15 heads of 32: 14.06 times the base model's parameters, embeddings not counted.
WIDTH = 480
# A third of the base model's: a wider model bears less.
PEAK_RATE = 1e-3
# A quarter of the base model's: tokens are what is dear here, and smaller steps take fewer of them.
TOKENS_A_STEP = TOKENS // 4
RECORD = "pretraining.json"


def parameters(model: Path) -> int:
    """Parameters of a model, embeddings not counted."""
    loaded = AutoModelForCausalLM.from_pretrained(model)
    return int(loaded.num_parameters(exclude_embeddings=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS * TOKENS // TOKENS_A_STEP)
    parser.add_argument("--out", type=Path, default=Path("out/larger"))
    args = parser.parse_args()
    record = args.out / RECORD
    if not record.is_file():
        train(
            problems,
            CHARACTERS,
            args.out,
            width=WIDTH,
            steps=args.steps,
            tokens=TOKENS_A_STEP,
            peak_rate=PEAK_RATE,
        )
        Pretraining(
            parameters=parameters(args.out),
            tokens=args.steps * TOKENS_A_STEP,
            base_parameters=parameters(BASE),
            base_tokens=STEPS * TOKENS,
        ).save(record)
    with sharing_cores():
        asyncio.run(sample_larger(args.out, Pretraining.load(record)))


if __name__ == "__main__":
    main()
