"""``ttc bench``: measure what an artifact gains on the user's data set."""

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
    JobsOption,
    PromptsArgument,
    SeedOption,
    load_artifact,
    load_table,
    numbers,
    settings_options,
)
from calibration.data.datasets import DataSettings, read_graded_prompts, rows_named
from calibration.progress import console, progress
from calibration.replay.parallel import check_n_jobs
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
        int | None,
        typer.Option(help="number of prompts, the first that it was not calibrated on; else all"),
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
    n_jobs: JobsOption = -1,
    *,
    data: DataSettings,
) -> None:
    """Measure what allocation gains on graded prompts that the artifact has not seen.

    It compares compute-optimal allocation with majority, best-of-N and beam search on the same
    samples, with 95% intervals. Samples are kept: after an interruption the same command resumes.
    """
    started = time.time()
    check_n_jobs(n_jobs)
    _check_out(out)
    kind = engine_kind(engine)
    table = rows_of(load_table(artifact), numbers("budgets", budgets) if budgets else [])
    graded, left_out = _first_unseen(prompts, read_graded_prompts(dataset, data), artifact)
    loaded = load_artifact(artifact, force)
    schedule = schedule_within(loaded.prices.schedule, table.rows[-1].budget)
    work = work_of([table], loaded.settings.scoring, seed, schedule)
    identity = made_with(loaded.settings.fingerprint(artifact), kind, graded, work)
    with exclusive(out / SAMPLES / LOCK, out):
        store = SampleStore(out / SAMPLES, identity)
        resumed = len(store.done)
        models = partial(open_models, loaded.settings, artifact, engine)
        with rows_named(dataset, data), progress("Sampling prompts", len(graded)) as done:
            sampling = RequestSettings(loaded.settings.sampling)
            replay = asyncio.run(sample(table, graded, work, store, models, sampling, done, n_jobs))
    check_answers(replay.records, loaded.settings.answers)
    with console.status("Measuring"):
        findings = measure(replay, loaded, table)
    result = BenchResult(
        **dict(findings),
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
        targets=findings.as_targets(),
    )
    _publish(result, out)


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "it is a file; give a folder")
    require("report", "out", str(out))


def _first_unseen(
    prompts: int | None, graded: list[tuple[str, str]], artifact: Path
) -> tuple[list[tuple[str, str]], int | None]:
    """The first prompts of `calibration.bench.unseen`; all of them if the number is None."""
    graded, left_out = unseen(graded, artifact)
    if prompts is not None and not 1 <= prompts <= len(graded):
        raise InputError("prompts", prompts, f"choose from 1 to {len(graded)}")
    return graded[:prompts], left_out


def _write(result: BenchResult, out: Path) -> None:
    try:
        result.save(out / RESULT)
        write_page(result, out / PAGE)
    except OSError as error:
        why = error.strerror or error
        raise InputError("out", str(out), f"cannot be written ({why}); samples are kept") from None


def _publish(result: BenchResult, out: Path) -> None:
    _write(result, out)
    for warning in result.warnings:
        say("note", warning, "yellow")
    shown = result.model_dump()
    write_answer(
        *comparison(result.curves, shown["gains"], result.budgets[-1]),
        Text(
            "Compute-optimal less best-of-N weighted at the same budget, in points: "
            f"{in_points(shown['differences'])}."
        ),
    )
    console.print(
        f"Wrote {out / RESULT} and {out / PAGE}.", soft_wrap=True, highlight=False, markup=False
    )
