"""The larger model of figure 9 (section 7): its pretraining, its samples, and equal FLOPs.

It is trained several times, from one seed each: trainings differ by more points of accuracy than
some of the figure's findings are about. The pools have the solutions of all trainings.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.files import JsonArtifact
from allocator.flops import Exchange
from benchmarks.allocation.pool import read_pool, write_pool
from benchmarks.figures.pools import FOLDER, further_prompts, test_prompts
from benchmarks.testbed.paths import SETTINGS
from calibration.progress import progress
from calibration.sampling.collect import PromptRecord, Work, collect
from runtime.models import open_models
from runtime.request import RequestSettings

SEEDS = (1, 2, 3)  # of the trainings
SAMPLES, SEED = 16, 300  # of each
GREEDY, WARM = FOLDER / "larger-greedy.parquet", FOLDER / "larger.parquet"
PRETRAINING = FOLDER / "larger.json"


class Pretraining(JsonArtifact):
    """Pretraining of the two models.

    Attributes:
        parameters: parameters of the larger model without embeddings.
        tokens: number of tokens that each training of it took.
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


async def sample_larger(model: Path) -> None:
    """Greedy solutions and samples of the test prompts, into pools beside a model.

    Of the further prompts greedy solutions alone. A pool that is there is kept.

    Args:
        model: folder of one of the larger models.
    """
    prompts = test_prompts()
    settings = SETTINGS.model_copy(update={"model": str(model)})
    warm = settings.sampling
    cold = warm.model_copy(update={"temperature": 0.0})
    async with open_models(settings, Path(), "transformers") as models:
        for pool, count, sampling, sampled in (
            (GREEDY, 1, cold, [*prompts, *further_prompts()]),
            (WARM, SAMPLES, warm, prompts),
        ):
            if (own := model / pool.name).is_file():
                continue
            with progress(f"{model}: {pool.stem}", len(sampled)) as done:
                work = Work(count, (), models.scoring, SEED)
                records = await collect(models, RequestSettings(sampling), sampled, work, done)
            write_pool(records, own)


def join_larger(models: Sequence[Path], pretraining: Pretraining) -> None:
    """The pools of all trainings as the figures' own, with the pretraining.

    Args:
        models: folders of the larger models, which were sampled.
        pretraining: what each was trained on.
    """
    for pool in (GREEDY, WARM):
        of_models = zip(*(read_pool(model / pool.name) for model in models), strict=True)
        write_pool([_joined(of_prompt) for of_prompt in of_models], pool)
    pretraining.save(PRETRAINING)


def _joined(records: Sequence[PromptRecord]) -> PromptRecord:
    """One record of a prompt, with the solutions of all."""
    runs = [record.independent for record in records]
    solutions = replace(
        runs[0],
        samples=tuple(sample for run in runs for sample in run.samples),
        correct=tuple(right for run in runs for right in run.correct),
        sampled_tokens=sum(run.sampled_tokens for run in runs),
    )
    return replace(records[0], independent=solutions)


def larger_correct(path: Path, prompts: Sequence[str]) -> NDArray[np.float64]:
    """Which solutions of each prompt are right in one of the larger model's pools.

    Args:
        path: the pool.
        prompts: texts of the prompts, all of which it was sampled on.

    Returns:
        Shape (prompts, solutions), the solutions of each training in turn.

    Raises:
        InputError: there is no pool.
    """
    found = {record.prompt: record.independent.correct for record in read_pool(path)}
    return np.array([found[prompt] for prompt in prompts], dtype=float)
