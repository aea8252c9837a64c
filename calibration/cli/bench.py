"""``ttc bench``: what an artifact gains on a data set of one's own."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from allocator.errors import InputError
from allocator.extras import require
from calibration.bench import measure, rows_of, sample, schedule_within, unseen, work_of
from calibration.cli.bench_view import comparison, in_points
from calibration.cli.console import reports_errors, say, write_answer
from calibration.cli.options import (
    ArtifactOption,
    EngineOption,
    ForceOption,
    PromptsArgument,
    SeedOption,
    load_artifact,
    load_table,
    numbers,
    settings_options,
)
from calibration.data.datasets import DataSettings, read_graded_prompts, rows_named
from calibration.progress import console, progress
from calibration.report.bench_page import write_page
from calibration.report.bench_result import BenchResult
from calibration.report.provenance import provenance
from calibration.sampling.collect import check_answers
from calibration.sampling.lock import LOCK, exclusive
from calibration.sampling.resume import SampleStore, made_with
from runtime.engines.loading import engine_kind
from runtime.models import open_models
from runtime.request import RequestSettings

RESULT, PAGE, SAMPLES = "bench.json", "bench.html", "samples"


@reports_errors
@settings_options(data=DataSettings)
def bench(
    dataset: PromptsArgument,
    artifact: ArtifactOption,
    prompts: Annotated[
        int | None, typer.Option(help="the first so many that it was not calibrated on; else all")
    ] = None,
    budgets: Annotated[
        str, typer.Option(help="of the artifact's table, comma-separated; else all of them")
    ] = "",
    out: Annotated[
        Path, typer.Option(help="folder for bench.json, bench.html and what was sampled")
    ] = Path("out/bench"),
    force: ForceOption = False,
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    *,
    data: DataSettings,
) -> None:
    """Measure what allocation gains on graded prompts that the artifact has not seen.

    Compute-optimal allocation beside majority, best-of-N and beam search, on
    the same samples: accuracy, what was really spent, and how many times less
    that is, with 95% intervals over prompts. Whatever was sampled is kept: the
    same command goes on after an interruption.
    """
    started = time.time()
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "it is a file; give a folder")
    require("report", "out", str(out))
    kind = engine_kind(engine)
    table = rows_of(load_table(artifact), numbers("budgets", budgets) if budgets else [])
    graded, left_out = unseen(read_graded_prompts(dataset, data), artifact)
    if prompts is not None:
        if not 1 <= prompts <= len(graded):
            raise InputError("prompts", prompts, f"choose from 1 to the {len(graded)} there are")
        graded = graded[:prompts]
    loaded = load_artifact(artifact, force)
    schedule = schedule_within(loaded.prices.schedule, table.rows[-1].budget)
    work = work_of([table], loaded.settings.scoring, seed, schedule)
    identity = made_with(loaded.settings.fingerprint(artifact), kind, graded, work)
    models = partial(open_models, loaded.settings, artifact, engine)
    with exclusive(out / SAMPLES / LOCK, out):
        store = SampleStore(out / SAMPLES, identity)
        resumed = len(store.done)
        with rows_named(dataset, data), progress("Sampling prompts", len(graded)) as done:
            sampling = RequestSettings(loaded.settings.sampling)
            replay = asyncio.run(sample(table, graded, work, store, models, sampling, done))
    check_answers(replay.records, loaded.settings.answers)
    with console.status("Measuring"):
        found = measure(replay, loaded, table)
    result = BenchResult(
        **dict(found),
        **provenance(),
        source=dataset,
        artifact=str(artifact),
        fingerprint=table.fingerprint,
        foreign=loaded.foreign,
        left_out=left_out,
        resumed=resumed,
        engine=kind,
        samples=work.samples,
        searches=tuple(map(str, work.searches)),
        sampled_tokens=sum(record.sampled_tokens for record in replay.records),
        seconds=time.time() - started,
        seed=seed,
        targets=found.as_targets(),
    )
    try:
        result.save(out / RESULT)
        write_page(result, out / PAGE)
    except OSError as error:
        why = error.strerror or error
        raise InputError("out", str(out), f"cannot be written ({why}); samples are kept") from None
    for warning in result.warnings:
        say("note", warning, "yellow")
    shown = found.model_dump()
    write_answer(
        *comparison(found.curves, shown["gains"], found.budgets[-1]),
        Text(
            "Compute-optimal less best-of-N weighted at the same budget, in points: "
            f"{in_points(shown['differences'])}."
        ),
    )
    console.print(
        f"Wrote {out / RESULT} and {out / PAGE}.", soft_wrap=True, highlight=False, markup=False
    )
