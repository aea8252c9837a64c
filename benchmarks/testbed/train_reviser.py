"""Train the testbed's reviser.

    python -m benchmarks.testbed.train_reviser

The recipe is ``ttc train reviser`` on the base model.
"""

import asyncio

from benchmarks.testbed.paths import REVISER
from benchmarks.testbed.train_prm import SOURCE, training_prompts
from calibration.training.recipes import reviser_recipe
from calibration.training.settings import ReviserSettings, TrainSettings

PROMPTS, SEED = 12_000, 11
# Chains of attempts as they come, right ones too, so that those are left as they are; what counts
# most is the steps that change. The context is four attempts, their prompts, and the next attempt.
CHAINS = ReviserSettings(samples=6, chains=3, mixed=0.7, changed_weight=2, context=768)
REVISING = TrainSettings(learning_rate=1e-3, batch=64, dropout=0, max_epochs=3, compile=True)


def main() -> None:
    prompts = training_prompts(PROMPTS, SEED)
    wrong, right = asyncio.run(reviser_recipe(SOURCE, prompts, REVISER, CHAINS, REVISING))
    print(f"It turns {wrong:.1%} of correct attempts wrong, {right:.1%} of wrong ones correct")


if __name__ == "__main__":
    main()
