"""Train the testbed's reviser, its own ORM that sees the chain, and the ORM of single solutions.

    python -m benchmarks.testbed.train_reviser

The recipes are ``ttc train reviser``, ``ttc train reviser-orm`` and ``ttc train orm``; the numbers
are cut to a model of 0.8 million parameters. The ORMs are classifiers, two layers deeper than it.
"""

import asyncio

from benchmarks.testbed.paths import ORM, REVISER, REVISER_ORM
from benchmarks.testbed.train_prm import SOURCE, training_prompts
from calibration.training.recipes import orm_recipe, reviser_orm_recipe, reviser_recipe
from calibration.training.settings import (
    ChainSettings,
    ReviserSettings,
    SampleSettings,
    VerifierSettings,
)

REVISER_SEED, CHAIN_SEED, ORM_SEED = 11, 12, 13
# Four attempts, their prompts, and room for the next one.
CONTEXT = 768
TRAINING = VerifierSettings(learning_rate=1e-3, batch=64, dropout=0, compile=True)
VERIFIER_TRAINING = TRAINING.model_copy(update={"extra_layers": 2})
# The paper samples what the reviser learns from at a higher temperature than solutions.
HOT = SOURCE.model_copy(
    update={"sampling": SOURCE.sampling.model_copy(update={"temperature": 1.2})}
)


async def run() -> None:
    wrong, right = await reviser_recipe(
        HOT,
        training_prompts(4000, REVISER_SEED),
        REVISER,
        ReviserSettings(samples=8, chains=6, context=CONTEXT),
        TRAINING.model_copy(update={"max_epochs": 2}),
    )
    print(f"A revision turns {wrong:.1%} of correct attempts wrong, {right:.1%} of wrong correct.")
    await reviser_orm_recipe(
        SOURCE,
        REVISER,
        training_prompts(800, CHAIN_SEED),
        REVISER_ORM,
        ChainSettings(chains=2, length=5),
        VERIFIER_TRAINING.model_copy(update={"max_epochs": 2}),
    )
    await orm_recipe(
        SOURCE,
        training_prompts(8000, ORM_SEED),
        ORM,
        SampleSettings(samples=2),
        VERIFIER_TRAINING.model_copy(update={"max_epochs": 3}),
    )


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
