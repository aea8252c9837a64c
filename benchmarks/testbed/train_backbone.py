"""Train the backbone of the testbed's verifiers: a model that is read for its likelihoods.

    python -m benchmarks.testbed.train_backbone

In practice a PRM of billions of parameters judges a model of one or two. Here the backbone has 2.7
times the base model's parameters and sees three times its tokens, of the same training prompts:
enough to be nearly always right at a single line of arithmetic. About half an hour on a CPU core.
"""

from benchmarks.testbed.paths import BACKBONE
from benchmarks.testbed.task import CHARACTERS, problems
from benchmarks.testbed.train_base import STEPS, TOKENS, train

WIDTH, LAYERS = 192, 5
TIMES = 3  # the base model's tokens
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


if __name__ == "__main__":
    main()
