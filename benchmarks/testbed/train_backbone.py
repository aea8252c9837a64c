"""Train the backbones of the testbed's verifiers: models that are read for their likelihoods.

    python -m benchmarks.testbed.train_backbone

In practice a PRM of billions of parameters judges a model of one or two. Here the backbone has 2.7
times the base model's parameters and sees three times its tokens, of the same training prompts:
enough to be nearly always right at a single line of arithmetic. About half an hour on 2 CPU cores.

Two more, for the figures' PRMs of the model's size, have the base model's shape. One sees twice its
tokens; the other, from another seed, as many, and makes more mistakes. Made of the base model
itself, a PRM makes the very mistakes that it should find, and judges hardly better than votes.
"""

from benchmarks.testbed.paths import BACKBONE, OWN_BACKBONE, WEAK_BACKBONE
from benchmarks.testbed.task import CHARACTERS, problems
from benchmarks.testbed.train_base import PEAK_RATE as BASE_RATE
from benchmarks.testbed.train_base import STEPS, TOKENS, TRAIN_SEED, train

WIDTH, LAYERS = 192, 5
TIMES, OWN_TIMES = 3, 2  # the base model's tokens
WEAK_SEED = 2
TOKENS_A_STEP = TOKENS // 2  # smaller steps take fewer tokens
PEAK_RATE = 2e-3  # a wider model bears less than the base's 3e-3


def main() -> None:
    train(
        problems,
        CHARACTERS,
        BACKBONE,
        width=WIDTH,
        layers=LAYERS,
        steps=TIMES * STEPS * TOKENS // TOKENS_A_STEP,
        tokens=TOKENS_A_STEP,
        peak_rate=PEAK_RATE,
    )
    for out, times, seed in ((OWN_BACKBONE, OWN_TIMES, TRAIN_SEED), (WEAK_BACKBONE, 1, WEAK_SEED)):
        train(
            problems,
            CHARACTERS,
            out,
            steps=times * STEPS,
            tokens=TOKENS,
            peak_rate=BASE_RATE,
            seed=seed,
        )


if __name__ == "__main__":
    main()
