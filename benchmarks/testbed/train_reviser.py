"""Train the testbed's reviser, and its own ORM, which sees the chain.

    python -m benchmarks.testbed.train_reviser

The recipes are ``ttc train reviser`` and ``ttc train reviser-orm``. The reviser is the base model;
the ORM is a head on likelihoods, as in `benchmarks.testbed.train_prm`. It reads those of a model
that has seen chains: the backbone, trained as a reviser is.
"""

import asyncio
from pathlib import Path

from benchmarks.testbed.paths import REVISER, REVISER_ORM
from benchmarks.testbed.train_prm import SOURCE, STRONGER, TRAINING, training_prompts
from calibration.training.recipes import Source, reviser_orm_recipe, reviser_recipe
from calibration.training.settings import (
    ChainSettings,
    ReviserSettings,
    TrainSettings,
)

REVISER_SEED, CHAIN_SEED = 11, 12
PROMPTS = 12_000
CHAIN_BACKBONE = Path("out/chain-backbone")
# Chains of attempts as they come, right ones too, so that those are left as they are; what counts
# most is the steps that change. The context is four attempts, their prompts, and the next attempt.
CHAINS = ReviserSettings(samples=6, chains=3, mixed=0.7, changed_weight=2, context=768)
REVISING = TrainSettings(learning_rate=1e-3, batch=64, dropout=0, max_epochs=3, compile=True)


async def train_reviser(source: Source, out: Path, training: TrainSettings) -> None:
    """Train a reviser, and say what its revisions do on prompts held out."""
    prompts = training_prompts(PROMPTS, REVISER_SEED)
    wrong, right = await reviser_recipe(source, prompts, out, CHAINS, training)
    print(f"{out} turns {wrong:.1%} of correct attempts wrong, {right:.1%} of wrong ones correct")


async def run() -> None:
    await train_reviser(SOURCE, REVISER, REVISING)
    # It knows the task; what it learns here is to read chains.
    await train_reviser(STRONGER, CHAIN_BACKBONE, REVISING.model_copy(update={"max_epochs": 2}))
    await reviser_orm_recipe(
        SOURCE.model_copy(update={"backbone": CHAIN_BACKBONE}),
        REVISER,
        training_prompts(1500, CHAIN_SEED),
        REVISER_ORM,
        ChainSettings(chains=2, length=5),
        TRAINING,
    )


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
