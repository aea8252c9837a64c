"""Train the reviser's own ORM, which sees the chain.

    python -m benchmarks.testbed.train_reviser_orm

The recipe is ``ttc train reviser-orm --likelihood``, as in `benchmarks.testbed.train_prm`. The
likelihoods are those of a model that has seen chains: the backbone, trained as the reviser is and
on the samples that `benchmarks.testbed.train_reviser` has left beside it.
"""

import asyncio
from pathlib import Path

from benchmarks.testbed.paths import REVISER, REVISER_ORM
from benchmarks.testbed.train_prm import (
    SOURCE,
    STRONGER,
    TRAINING,
    share_samples,
    training_prompts,
)
from benchmarks.testbed.train_reviser import CHAINS, PROMPTS, REVISING
from benchmarks.testbed.train_reviser import SEED as REVISER_SEED
from calibration.training.recipes import reviser_orm_recipe, reviser_recipe
from calibration.training.settings import ChainSettings

SEED = 12
CHAIN_BACKBONE = Path("out/chain-backbone")


async def run() -> None:
    CHAIN_BACKBONE.parent.mkdir(exist_ok=True)
    share_samples(REVISER, CHAIN_BACKBONE)
    # It knows the task; what it learns here is to read chains.
    reading = REVISING.model_copy(update={"max_epochs": 2})
    prompts = training_prompts(PROMPTS, REVISER_SEED)
    await reviser_recipe(STRONGER, prompts, CHAIN_BACKBONE, CHAINS, reading)
    await reviser_orm_recipe(
        SOURCE.model_copy(update={"backbone": CHAIN_BACKBONE}),
        REVISER,
        training_prompts(1500, SEED),
        REVISER_ORM,
        ChainSettings(chains=2, length=5),
        TRAINING,
    )


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
