"""Train the backbones of the figures' PRMs of the base model's own size.

    python -m benchmarks.testbed.train_own_backbones

Both have the base model's shape. One sees twice its tokens; the other, from another seed, as many,
and makes more mistakes. Made of the base model itself, a PRM makes the very mistakes that it should
find, and judges hardly better than votes. About a quarter of an hour on a CPU core.
"""

from benchmarks.testbed.paths import OWN_BACKBONE, WEAK_BACKBONE
from benchmarks.testbed.task import CHARACTERS, problems
from benchmarks.testbed.train_base import PEAK_RATE, STEPS, TOKENS, TRAIN_SEED, train

TIMES = 2  # the base model's tokens
WEAK_SEED = 2


def main() -> None:
    for out, times, seed in ((OWN_BACKBONE, TIMES, TRAIN_SEED), (WEAK_BACKBONE, 1, WEAK_SEED)):
        train(
            problems,
            CHARACTERS,
            out,
            steps=times * STEPS,
            tokens=TOKENS,
            peak_rate=PEAK_RATE,
            seed=seed,
        )


if __name__ == "__main__":
    main()
