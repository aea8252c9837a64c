"""Train the testbed's ORM of single solutions.

    python -m benchmarks.testbed.train_orm

The recipe is ``ttc train orm --likelihood``, as in `benchmarks.testbed.train_prm`.
"""

import asyncio

from benchmarks.testbed.paths import ORM
from benchmarks.testbed.train_prm import STRONGER, TRAINING, training_prompts
from calibration.training.recipes import orm_recipe
from calibration.training.settings import SampleSettings

PROMPTS, SEED = 6000, 13


def main() -> None:
    prompts = training_prompts(PROMPTS, SEED)
    asyncio.run(orm_recipe(STRONGER, prompts, ORM, SampleSettings(samples=2), TRAINING))


if __name__ == "__main__":
    main()
