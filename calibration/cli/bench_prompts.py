"""``ttc bench`` on a data set: sample its prompts, and measure on the samples."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from allocator.errors import InputError
from allocator.lock import LOCK, exclusive
from calibration.bench import (
    baseline_notes,
    measure,
    sample,
    schedule_within,
    table_for,
    work_of,
)
from calibration.cli.options import load_table, numbers
from calibration.data.datasets import DataSettings, read_graded_prompts, rows_named
from calibration.progress import console, progress
from calibration.report.bench_result import BenchResult
from calibration.report.methods import leading_way, stored_baseline
from calibration.report.provenance import provenance
from calibration.sampling.collect import check_answers
from calibration.sampling.resume import SampleStore, made_with
from calibration.unseen import check_several, few_prompts, unseen
from runtime.artifact import Artifact, artifact_folder
from runtime.engines.loading import EngineName, engine_kind
from runtime.models import open_models
from runtime.request import RequestSettings


def bench_prompts(
    artifact: Path,
    load: Callable[[Path], Artifact],
    dataset: str,
    data: DataSettings,
    *,
    prompts: int | None,
    budgets: str,
    samples: Path,
    engine: EngineName,
    verifier_engine: EngineName,
    seed: int,
    n_jobs: int,
) -> BenchResult:
    """The result of an artifact on graded prompts that it has not seen.

    Args:
        artifact: the artifact's folder, or one within it.
        load: loads it for sampling.
        dataset, data: the prompts, and how they are read.
        prompts: number of prompts, drawn from those that are unseen; None for all of them.
        budgets: budgets to measure, comma-separated; empty for all.
        samples: folder in which samples are kept, so that the same call resumes.
        engine, verifier_engine: what runs the models.
        seed: of the samples, and of the draw of prompts.
        n_jobs: see `calibration.replay.parallel`.

    Raises:
        InputError: unusable input.
        ModelError: a model cannot be loaded or run.
    """
    started = time.time()
    kind, folder = engine_kind(engine), artifact_folder(artifact)
    table = table_for(load_table(folder), numbers("budgets", budgets) if budgets else [])
    graded, left_out = _some_unseen(prompts, read_graded_prompts(dataset, data), folder, seed)
    loaded = load(folder)
    way, settings = leading_way(folder), loaded.settings
    schedule = schedule_within(loaded.prices.schedule, table.rows[-1].budget)
    work = work_of([table], settings.scoring, seed, schedule)
    identity = made_with(settings.fingerprint(folder), kind, graded, work)
    models = partial(open_models, settings, folder, engine, verifier_engine)
    sampling, sizes = RequestSettings(settings.sampling), settings.sizes(folder)
    with exclusive(samples / LOCK, samples.parent):
        store = SampleStore(samples, identity)
        resumed = len(store.done)
        with rows_named(dataset, data), progress("Sampling prompts", len(graded)) as done:
            replay = asyncio.run(
                sample(table, graded, work, store, models, sampling, done, n_jobs, sizes)
            )
    check_answers(replay.records, settings.answers)
    with console.status("Measuring"):
        findings = measure(replay, loaded, table, way, stored_baseline(folder))
    return BenchResult(
        **dict(findings),
        **provenance(),
        source=dataset,
        artifact=str(artifact),
        fingerprint=table.fingerprint,
        foreign=loaded.foreign,
        left_out=left_out,
        notes=(*few_prompts(findings.prompts), *baseline_notes(findings)),
        resumed=resumed,
        engine=kind,
        samples=work.samples,
        searches=tuple(map(str, work.plans)),
        sampled_tokens=sum(record.sampled_tokens for record in replay.records),
        seconds=time.time() - started,
        seed=seed,
        targets=findings.as_targets(),
    )


def _some_unseen(
    prompts: int | None, graded: list[tuple[str, str]], artifact: Path, seed: int
) -> tuple[list[tuple[str, str]], int | None]:
    """So many of `calibration.unseen.unseen`, drawn by the seed; all if the number is None.

    The first in a file may be the easiest.
    """
    graded, left_out = unseen(graded, artifact)
    check_several("prompts", len(graded))
    if prompts is not None and not 2 <= prompts <= len(graded):
        raise InputError("prompts", prompts, f"choose from 2 to {len(graded)}")
    drawn = np.random.default_rng(seed).permutation(len(graded))[:prompts]
    return [graded[place] for place in sorted(drawn)], left_out
