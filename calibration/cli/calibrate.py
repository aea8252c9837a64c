"""``ttc calibrate``: from a data set and models, or from logged samples, to an artifact."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from allocator.errors import InputError
from allocator.extras import missing
from calibration.calibrate import calibrate as run_calibration
from calibration.cli.calibrate_options import ModelOptions, TableOptions
from calibration.cli.console import render_caps, render_table, reports_errors
from calibration.cli.log_options import LOG_ONLY_OPTIONS, LogOptions, refuse_options
from calibration.cli.options import (
    SOURCE_HELP,
    ArgsOptions,
    EngineOption,
    JobsOption,
    SeedOption,
    given,
    numbers,
    settings_options,
)
from calibration.data.datasets import DataSettings, read_graded_prompts, rows_named
from calibration.fitting.fit import Calibration
from calibration.progress import console, progress
from calibration.replay.parallel import check_jobs
from calibration.report.card import write_card
from calibration.report.page import REPORT, write_report
from calibration.report.summary import Summary
from calibration.report.words import confidence_words
from runtime.artifact import load_settings
from runtime.engines.base import SamplingSettings
from runtime.traffic import is_traffic

SUGGESTED = 16  # generations per prompt in the command to go on with, if they are calibrated

# Options that apply to logs. All others are about sampling, and are refused beside --from-logs.
LOG_OPTIONS = {
    *("out", "from_logs", "where", "gold", "logits", "columns", "answers", "aggregation"),
    *("budgets", "pilots", "bins", "n_jobs"),
}


@reports_errors
@settings_options(
    log=LogOptions,
    models=ModelOptions,
    args=ArgsOptions,
    tables=TableOptions,
    data=DataSettings,
    sampling=SamplingSettings,
)
def calibrate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="artifact folder to write")],
    prompts: Annotated[str | None, typer.Argument(help=SOURCE_HELP)] = None,
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    ray: Annotated[
        str | None, typer.Option(help="sample on this Ray cluster: its address, or auto")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="engines there; else one per GPU, or one per node")
    ] = None,
    n_jobs: JobsOption = -1,
    *,
    log: LogOptions,
    models: ModelOptions,
    args: ArgsOptions,
    tables: TableOptions,
    data: DataSettings,
    sampling: SamplingSettings,
) -> None:
    """Measure a model on graded prompts; write tables and predictor to an artifact folder."""
    check_jobs(n_jobs)
    if log.from_logs is not None:
        others = set(context.params) - LOG_OPTIONS
        refuse_options(context, others, "does not apply to --from-logs")
        calibrated = _from_logs(context, log, out, models, tables, data, n_jobs)
        if caps := Summary.load(out).caps:
            console.print(render_caps(caps))
        _show(calibrated, out)
        return
    refuse_options(context, LOG_ONLY_OPTIONS, "goes with --from-logs")
    if prompts is None:
        raise InputError("prompts", None, "give one, or calibrate --from-logs")
    if workers is not None and ray is None:
        raise InputError("workers", workers, "it goes with --ray; leave it out")
    settings = models.settings(sampling).with_args(args.read(engine))
    graded = read_graded_prompts(prompts, data)
    with rows_named(prompts, data), progress("Sampling prompts", len(graded)) as done:
        calibration = asyncio.run(
            run_calibration(
                graded,
                settings,
                out,
                tables.settings(seed, has_verifier=settings.verifier is not None),
                engine=engine,
                verifier_engine=args.verifier_engine,
                ray=ray,
                workers=workers,
                n_jobs=n_jobs,
                done=done,
            )
        )
    _show(calibration, out)
    if models.confidence:
        console.print(f"Confidence: {confidence_words(load_settings(out).confidence)}.")
    budgets = [row.budget for row in calibration.table.rows]
    suggested = max((budget for budget in budgets if budget <= SUGGESTED), default=budgets[0])
    console.print(
        f"Next: ttc solve --artifact {out} --budget {suggested} 'your prompt'",
        soft_wrap=True,
        markup=False,
    )


def _from_logs(
    context: typer.Context,
    options: LogOptions,
    out: Path,
    models: ModelOptions,
    tables: TableOptions,
    data: DataSettings,
    n_jobs: int,
) -> Calibration:
    from calibration.from_logs import calibrate_from_logs

    named = given(context)
    log = options.read(
        data.columns,
        models.answers if "answers" in named else None,
        models.aggregation if "aggregation" in named else None,
    )
    budgets = numbers("budgets", tables.budgets)
    pilots = tables.pilots_within([n for n in budgets if n <= log.window])
    if "pilots" not in named:  # a log's prompts are not read
        pilots.remove(0)
    folder = Path(str(options.from_logs))
    with console.status("Fitting tables"):
        return calibrate_from_logs(
            log,
            out,
            budgets=budgets,
            pilots=pilots,
            n_bins=tables.bins,
            n_jobs=n_jobs,
            settings=load_settings(folder) if is_traffic(folder) else None,
        )


def _show(calibration: Calibration, out: Path) -> None:
    console.print(render_table(calibration.table))
    if calibration.tokens is not None:
        console.print(render_table(calibration.tokens.table))
    console.print(
        "Rank correlation of predicted with measured pass@1, on prompts that the predictor "
        "had not seen, by number of pilots: "
        + ", ".join(
            f"{pilots}: {fitted.rank_correlation:.2f}"
            for pilots, fitted in calibration.difficulty.items()
        )
    )
    for warning in calibration.warnings:
        console.print(f"Note: {warning}")
    if (hint := missing("report")) is not None:
        console.print(f"Wrote {out}, without a report: {hint}", soft_wrap=True, markup=False)
        return
    page, *_ = write_report(out, out / REPORT)
    write_card(out)
    console.print(f"Wrote {out}, and what was found as {page}.", soft_wrap=True, markup=False)
