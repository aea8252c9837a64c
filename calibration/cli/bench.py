"""``ttc bench``: measure what an artifact gains on the user's data set."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from allocator.errors import InputError
from allocator.extras import require
from allocator.files import RUN_AGAIN, reports_unwritable
from allocator.lock import check_writable
from calibration.cli.bench_logs import SPLITS, bench_log
from calibration.cli.bench_prompts import bench_prompts
from calibration.cli.bench_view import comparison, in_points
from calibration.cli.console import reports_errors, say, write_answer
from calibration.cli.log_options import LogOptions, refuse_options
from calibration.cli.options import (
    ANSWERS_HELP,
    ARTIFACT_HELP,
    SOURCE_HELP,
    ArgsOptions,
    EngineOption,
    ForceOption,
    JobsOption,
    SeedOption,
    TrustOption,
    given,
    load_artifact,
    settings_options,
)
from calibration.data.datasets import DataSettings
from calibration.progress import console
from calibration.replay.parallel import check_jobs
from calibration.report.bench_page import as_summary, chosen, write_page
from calibration.report.bench_result import BenchResult
from calibration.report.words import subtitle, title
from runtime.verifiers.base import Aggregation

RESULT, PAGE, SAMPLES = "bench.json", "bench.html", "samples"

# Options that apply to logs, and which of these apply to data sets too.
SHARED_OPTIONS = {"artifact", "budgets", "out", "seed", "columns", "n_jobs"}
LOG_OPTIONS = SHARED_OPTIONS | {
    *("from_logs", "where", "gold", "logits", "answers", "aggregation", "split", "splits"),
}


@reports_errors
@settings_options(log=LogOptions, args=ArgsOptions, data=DataSettings)
def bench(
    context: typer.Context,
    dataset: Annotated[str | None, typer.Argument(help=SOURCE_HELP)] = None,
    artifact: Annotated[Path | None, typer.Option(help=ARTIFACT_HELP)] = None,
    prompts: Annotated[
        int | None,
        typer.Option(help="number of prompts, drawn from those it was not calibrated on; else all"),
    ] = None,
    budgets: Annotated[
        str,
        typer.Option(
            help="comma-separated, of the artifact's table, else all of them; with --split any, "
            "else 1,2,4,...,64"
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option(help="folder for bench.json, bench.html and what was sampled")
    ] = Path("out/bench"),
    force: ForceOption = False,
    trust_grader: TrustOption = "",
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    split: Annotated[
        float | None,
        typer.Option(help="of a log: calibrate on this share of the questions, test on the rest"),
    ] = None,
    splits: Annotated[
        int, typer.Option(help="times the questions are shuffled for --split")
    ] = SPLITS,
    answers: Annotated[str, typer.Option(help=f"of a log: {ANSWERS_HELP}")] = "math",
    aggregation: Annotated[
        Aggregation | None,
        typer.Option(help="of a log: the only aggregation of step scores; else all"),
    ] = None,
    n_jobs: JobsOption = -1,
    *,
    log: LogOptions,
    args: ArgsOptions,
    data: DataSettings,
) -> None:
    """Measure what allocation gains on graded prompts that the artifact has not seen.

    It compares the artifact's three ways to spend (by bins, by price, one total) with majority,
    best-of-N and beam search on the same samples, with 95% intervals. It leads with the way that
    calibration found the cheapest. Samples are kept: after an interruption the same command
    resumes.

    With --from-logs no model is needed: methods are replayed on logged samples of questions that
    the artifact has not seen, or, with --split, that each calibration has not.
    """
    check_jobs(n_jobs)
    _check_out(out)
    if log.from_logs is not None:
        refuse_options(context, set(context.params) - LOG_OPTIONS, "does not apply to --from-logs")
        named = answers if "answers" in given(context) else None
        result = bench_log(
            log,
            columns=data.columns,
            answers=named,
            aggregation=aggregation,
            artifact=artifact,
            split=split,
            splits=splits,
            budgets=budgets,
            seed=seed,
            n_jobs=n_jobs,
        )
    else:
        refuse_options(context, LOG_OPTIONS - SHARED_OPTIONS, "goes with --from-logs")
        if dataset is None:
            raise InputError("prompts", None, "give a data set, or measure --from-logs")
        if artifact is None:
            raise InputError("artifact", None, "give a calibrated artifact")
        result = bench_prompts(
            artifact,
            partial(load_artifact, force=force, trust_grader=trust_grader, args=args.read(engine)),
            dataset,
            data,
            prompts=prompts,
            budgets=budgets,
            samples=out / SAMPLES,
            engine=engine,
            verifier_engine=args.verifier_engine,
            seed=seed,
            n_jobs=n_jobs,
        )
    _publish(result, out)


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "it is a file; give a folder")
    for file in (out / RESULT, out / PAGE):
        if file.is_dir():
            raise InputError("out", str(file), "it is a folder; choose another --out")
    check_writable(out / RESULT)
    require("report", "out", str(out))


def _write(result: BenchResult, out: Path) -> None:
    with reports_unwritable("out", out, f"what was sampled is kept: {RUN_AGAIN}"):
        out.mkdir(parents=True, exist_ok=True)
        result.save(out / RESULT)
        write_page(result, out / PAGE)


def _publish(result: BenchResult, out: Path) -> None:
    _write(result, out)
    for warning in result.warnings:
        say("note", warning, "yellow")
    shown, summary = result.model_dump(), as_summary(result)
    write_answer(
        Text(title(summary, result.policy), style="bold"),
        Text(f"{subtitle(summary, result.policy)} {chosen(result)}"),
        *comparison(result.curves, shown["gains"], result.budgets, result.baseline),
        Text(
            f"{result.policy} less {result.baseline} at the same cost, in points: "
            f"{in_points(shown['differences'])}."
        ),
    )
    console.print(
        f"Wrote {out / RESULT} and {out / PAGE}.", soft_wrap=True, highlight=False, markup=False
    )
