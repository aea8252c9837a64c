"""The larger model of figure 9 (section 7): its pretraining, its samples, and equal FLOPs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.files import JsonArtifact
from allocator.flops import Exchange
from benchmarks.allocation.pool import read_pool, write_pool
from benchmarks.figures.pools import FOLDER, further_prompts, test_prompts
from benchmarks.testbed.paths import SETTINGS
from calibration.progress import progress
from calibration.sampling.collect import collect
from runtime.models import open_models
from runtime.request import RequestSettings

SAMPLES, SEED = 16, 300
GREEDY, WARM = FOLDER / "larger-greedy.parquet", FOLDER / "larger.parquet"
PRETRAINING = FOLDER / "larger.json"


class Pretraining(JsonArtifact):
    """Pretraining of the two models.

    Attributes:
        parameters: parameters of the larger model without embeddings.
        tokens: number of tokens it was trained on.
        base_parameters: parameters of the model that samples more.
        base_tokens: number of tokens it was trained on.
    """

    parameters: int
    tokens: int
    base_parameters: int
    base_tokens: int

    @property
    def scale(self) -> float:
        """Parameters of the larger model over the base model's, M."""
        return self.parameters / self.base_parameters

    @property
    def cheaper(self) -> float:
        """The larger model's pretraining beyond the base's, over what it is at as many tokens.

        1 where both were trained on as many. `Exchange` takes them for that; where the larger one
        had fewer, a ratio R is to it what R / `cheaper` is at as many.
        """
        return (self.scale * self.tokens / self.base_tokens - 1) / (self.scale - 1)

    def budget(self, ratio: float) -> float:
        """Generations of the base model for each of the larger one's, at equal FLOPs.

        Args:
            ratio: tokens inferred over tokens the base model was pretrained on, R.
        """
        return Exchange(self.scale, ratio / self.cheaper).budget

    def crossover(self, generations: float) -> float:
        """The ratio R at which so many generations cost what the larger model does.

        Where R is smaller, the base model can spend more. Infinite where the generations cost no
        more than the larger model's inference alone; 0 for infinitely many of them.
        """
        if generations <= self.scale:
            return float("inf")
        return 3 * (self.scale - 1) * self.cheaper / (generations - self.scale)


async def sample_larger(model: Path, pretraining: Pretraining) -> None:
    """Greedy solutions and samples of the test prompts, into the pools, with the pretraining.

    Of the further prompts greedy solutions alone.

    Args:
        model: the larger model's folder.
        pretraining: what it was trained on.
    """
    prompts = test_prompts()
    settings = SETTINGS.model_copy(update={"model": str(model)})
    async with open_models(settings, Path(), "transformers") as models:
        warm = settings.sampling
        cold = warm.model_copy(update={"temperature": 0.0})
        for path, count, sampling, sampled in (
            (GREEDY, 1, cold, [*prompts, *further_prompts()]),
            (WARM, SAMPLES, warm, prompts),
        ):
            with progress(f"Larger model: {path.stem}", len(sampled)) as done:
                records = await collect(
                    models, RequestSettings(sampling), sampled, count, lambda *_: (), SEED, done
                )
            write_pool(records, path)
    pretraining.save(PRETRAINING)


def larger_correct(path: Path, prompts: Sequence[str]) -> NDArray[np.float64]:
    """Share of right solutions of each prompt in one of the larger model's pools.

    Args:
        path: the pool.
        prompts: texts of the prompts, all of which it was sampled on.

    Returns:
        Shape (prompts,).

    Raises:
        InputError: there is no pool.
    """
    found = {record.prompt: record.independent.correct for record in read_pool(path)}
    return np.array([np.mean(found[prompt]) for prompt in prompts])
