"""The task families, and sampling them again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer

from allocator.flops import ModelSizes
from allocator.plan import Plan
from benchmarks.allocation.family import SEEDS, Family, grid
from benchmarks.allocation.pool import read_pool, write_pool
from benchmarks.allocation.sampling import Searching, draw, search
from benchmarks.rewriting import paths as rewriting
from benchmarks.rewriting import task as rewriting_task
from benchmarks.testbed import paths as testbed
from benchmarks.testbed import task as testbed_task
from benchmarks.testbed.tree_engine import TreeEngine
from calibration.fitting.fit import searches_among
from calibration.progress import progress
from calibration.sampling.collect import PromptRecord
from calibration.sampling.store import read_records
from runtime.artifact import SAMPLES, Artifact, load_settings
from runtime.concurrency import sharing_cores
from runtime.engines.hidden import PromptEncoder
from runtime.models import open_models
from runtime.request import RequestSettings

Split = Literal["calibration", "test"]
CALIBRATION_SEED, SAMPLING_SEED = 4, 100

ARITHMETIC = Family("arithmetic chains", testbed.POOLS, 256, 400, 500, test_seed=3)
# The test prompts of seed 3 influenced when training of the base model stopped; these did not.
REWRITING = Family("string rewriting", rewriting.ROOT / "pools", 32, 0, 300, test_seed=33)


def artifact_of(family: Family) -> Artifact:
    """The family's calibrated artifact."""
    return Artifact.load((testbed if family == ARITHMETIC else rewriting).ARTIFACT)


def sizes_of(family: Family) -> ModelSizes | None:
    """The parameters of the family's models."""
    settings = testbed.SETTINGS if family == ARITHMETIC else rewriting.SETTINGS
    return settings.sizes(Path())


def prompts_of(family: Family, split: Split, count: int | None = None) -> list[tuple[str, str]]:
    """(prompt, right answer) pairs of one split: the first so many, else the family's own."""
    problems = (testbed_task if family == ARITHMETIC else rewriting_task).distinct_problems
    if count is None:
        count = family.calibration_prompts if split == "calibration" else family.test_prompts
    seed = CALIBRATION_SEED if split == "calibration" else family.test_seed
    return [(problem.text, problem.answer) for problem in problems(split, count, seed)]


def searches_of(family: Family) -> list[Plan]:
    """Searches of the test prompts: the grid's, or those that the artifact may choose."""
    if family == ARITHMETIC:
        return searches_among(grid(family.window, 0))
    artifact = artifact_of(family)
    tables = artifact.policy.table, artifact.oracle_table()
    plans = {plan for table in tables for plan in table.plans}
    plans |= {*artifact.prices.schedule.searches}
    return searches_among(plans)


def prompt_states(family: Family, split: Split) -> NDArray[np.float32]:
    """The language model's state after each prompt of a pool."""
    model = (testbed if family == ARITHMETIC else rewriting).BASE
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoder = PromptEncoder(model)

    async def read(prompts: Sequence[str]) -> NDArray[np.float32]:
        ids = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
            )
            for prompt in prompts
        ]
        return np.array(await asyncio.gather(*(encoder.hidden_state(each) for each in ids)))

    records = read_pool(family.folder / f"{split}.parquet")
    try:
        return asyncio.run(read([record.prompt for record in records]))
    finally:
        encoder.close()


def resample(family: Family) -> None:
    """Sample all of a family's pools again.

    The searches of calibration prompts are those of the artifact's own calibration.

    Raises:
        InputError: its samples are not there.
    """
    with sharing_cores():
        asyncio.run(_draw_solutions(family))
    plans, folder = searches_of(family), artifact_of(family).folder
    searching = Searching(load_settings(folder), folder, plans, SAMPLING_SEED, SEEDS)
    found = search(f"{family.name}: searches", searching, prompts_of(family, "test"))
    write_pool(found, family.folder / "test-searches.parquet")
    if family.calibration_prompts:
        kept = [of_artifact(r, plans) for r in read_records(artifact_of(family).folder / SAMPLES)]
        write_pool(kept, family.folder / "calibration-searches.parquet")


async def _draw_solutions(family: Family) -> None:
    """Independent solutions of all prompts."""
    where = testbed if family == ARITHMETIC else rewriting
    settings = load_settings(where.ARTIFACT)
    sampling = RequestSettings(settings.sampling)
    splits: list[tuple[Split, int]] = [("test", SEEDS * family.window)]
    if family.calibration_prompts:
        splits.append(("calibration", 2 * family.window))
    async with open_models(settings, where.ARTIFACT, "transformers") as models:
        for split, samples in splits:
            prompts = prompts_of(family, split)
            engine = TreeEngine(where.BASE, samples, SAMPLING_SEED)
            with progress(f"{family.name}, {split}: solutions", len(prompts)) as done:
                records = await draw(models, sampling, engine, prompts, done)
            write_pool(records, family.folder / f"{split}.parquet")
            engine.close()


def of_artifact(record: PromptRecord, plans: Sequence[Plan]) -> PromptRecord:
    """A record of the artifact's calibration, on the same prompts, with these searches alone."""
    run = record.independent
    repeats = tuple({plan: repeat[plan] for plan in plans} for repeat in record.repeats)
    one = replace(run, samples=run.samples[:1], correct=run.correct[:1])
    return replace(record, independent=one, repeats=repeats)
