"""``ttc calibrate``: from a data set and models, or from logged samples, to an artifact."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from allocator.errors import InputError
from allocator.extras import missing
from allocator.plan import CONSIDERED, MAX_BEAMS, Strategy
from calibration.calibrate import RUNS, ScoringChoice, calibrate_from_logs
from calibration.calibrate import calibrate as run_calibration
from calibration.cli.console import render_table, reports_errors
from calibration.cli.options import (
    SOURCE_HELP,
    THOUGHT_HELP,
    TIMEOUT_HELP,
    AnswersOption,
    EngineOption,
    SeedOption,
    given,
    numbers,
    settings_options,
)
from calibration.data.datasets import DataSettings, read_graded_prompts, rows_named
from calibration.data.table_io import pairs
from calibration.fitting.fit import Calibration
from calibration.progress import console, progress
from calibration.report.page import REPORT, write_report
from runtime.answers.readers import DEADLINE
from runtime.artifact import Settings
from runtime.engines.base import SamplingSettings
from runtime.verifiers.base import Aggregation, FamilyName

PILOTS = "0,1,2,4,8"

# Options that apply to logs. All others are about sampling, and are refused beside --from-logs.
OF_LOGS = {
    *("out", "from_logs", "where", "columns", "answers", "aggregation"),
    *("budgets", "pilots", "bins"),
}
OF_LOGS_ALONE = {"where"}


@reports_errors
@settings_options(data=DataSettings, sampling=SamplingSettings)
def calibrate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="artifact folder to write")],
    prompts: Annotated[str | None, typer.Argument(help=SOURCE_HELP)] = None,
    from_logs: Annotated[
        str | None,
        typer.Option(help="no model: samples that exist already; a source as PROMPTS may be"),
    ] = None,
    where: Annotated[
        str, typer.Option(help="only the log's rows that hold these values: model=NAME")
    ] = "",
    model: Annotated[str | None, typer.Option(help="language model: folder or hub name")] = None,
    verifier: Annotated[str | None, typer.Option(help="PRM: folder or hub name")] = None,
    answers: AnswersOption = "math",
    answer_timeout: Annotated[float, typer.Option(help=TIMEOUT_HELP)] = DEADLINE,
    thought: Annotated[str, typer.Option(help=THOUGHT_HELP)] = "auto",
    budgets: Annotated[str, typer.Option(help="generations, comma-separated")] = "1,2,4,8,16,32,64",
    pilots: Annotated[
        str,
        typer.Option(help="numbers of pilot samples to choose among; 0 reads the prompt alone"),
    ] = PILOTS,
    bins: Annotated[int, typer.Option(help="difficulty bins")] = 5,
    strategies: Annotated[
        str, typer.Option(help="strategies to choose among, comma-separated")
    ] = ",".join(CONSIDERED),
    max_beams: Annotated[int, typer.Option(help="beams of the largest search")] = MAX_BEAMS,
    runs: Annotated[int, typer.Option(help="times each search is run of each prompt")] = RUNS,
    reviser: Annotated[str | None, typer.Option(help="reviser: folder or hub name")] = None,
    reviser_verifier: Annotated[
        str | None, typer.Option(help="verifier of its attempts; else the PRM")
    ] = None,
    verifier_family: Annotated[
        FamilyName, typer.Option(help="the verifier's convention; auto recognises most")
    ] = "auto",
    aggregation: Annotated[
        Aggregation, typer.Option(help="how step scores become a solution's score")
    ] = "last",
    scoring: Annotated[
        ScoringChoice,
        typer.Option(help="scores of verifier and log-probability, or the verifier's alone"),
    ] = "fitted",
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    ray: Annotated[
        str | None, typer.Option(help="sample on this Ray cluster: its address, or auto")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="engines there; else one a GPU, or one a node")
    ] = None,
    *,
    data: DataSettings,
    sampling: SamplingSettings,
) -> None:
    """Measure a model on graded prompts; write tables and predictor to an artifact folder."""
    named = given(context)
    if from_logs is not None:
        _refuse(context, set(named) - OF_LOGS, "does not apply to --from-logs")
        from calibration.data.sample_log import read_log

        log = read_log(
            from_logs,
            pairs("columns", data.columns),
            pairs("where", where),
            answers if "answers" in named else None,
            aggregation if "aggregation" in named else None,
        )
        wanted = numbers("budgets", budgets)
        within = [budget for budget in wanted if budget <= log.answer.shape[1]]
        taken = _pilots(pilots, within)
        if "pilots" not in named:  # a log's prompts are not read
            taken.remove(0)
        with console.status("Fitting tables"):
            made = calibrate_from_logs(log, out, budgets=wanted, pilots=taken, n_bins=bins)
        _show(made, out)
        return
    _refuse(context, OF_LOGS_ALONE & set(named), "goes with --from-logs")
    needed = {"prompts": prompts, "model": model, "verifier": verifier}
    for name, value in needed.items():
        if value is None:
            raise InputError(name, None, "give one, or calibrate --from-logs")
    if workers is not None and ray is None:
        raise InputError("workers", workers, "it goes with --ray; leave it out")
    if reviser_verifier is not None and reviser is None:
        raise InputError(
            "reviser-verifier", reviser_verifier, "it goes with --reviser; leave it out"
        )
    source = cast(str, prompts)
    graded = read_graded_prompts(source, data)
    settings = Settings(
        model=cast(str, model),
        verifier=cast(str, verifier),
        verifier_family=verifier_family,
        reviser=reviser,
        reviser_verifier=reviser_verifier,
        answers=answers,
        answer_timeout=answer_timeout,
        thought=thought,
        aggregation=aggregation,
        sampling=sampling,
    )
    with rows_named(source, data), progress("Sampling prompts", len(graded)) as done:
        calibration = asyncio.run(
            run_calibration(
                graded,
                settings,
                out,
                budgets=numbers("budgets", budgets),
                pilots=_pilots(pilots, numbers("budgets", budgets)),
                n_bins=bins,
                seed=seed,
                engine=engine,
                strategies=cast("list[Strategy]", strategies.split(",")),
                max_beams=max_beams,
                runs=runs,
                scoring=scoring,
                ray=ray,
                workers=workers,
                done=done,
            )
        )
    _show(calibration, out)
    console.print(f"Next: ttc solve --artifact {out} --budget 16 'your prompt'")


def _refuse(context: typer.Context, names: Collection[str], why: str) -> None:
    if names:
        first = min(names)
        raise InputError(first.replace("_", "-"), context.params[first], f"it {why}; leave it out")


def _show(calibration: Calibration, out: Path) -> None:
    console.print(render_table(calibration.table))
    console.print(
        "Rank correlation of predicted with measured pass@1, on prompts that the predictor "
        "had not seen, by number of pilots: "
        + ", ".join(
            f"{paid}: {known.rank_correlation:.2f}"
            for paid, known in calibration.difficulty.items()
        )
    )
    for warning in calibration.warnings:
        console.print(f"Note: {warning}")
    if (hint := missing("report")) is not None:
        console.print(f"Wrote {out}, without a report: {hint}", soft_wrap=True, markup=False)
        return
    page, *_ = write_report(out, out / REPORT)
    console.print(f"Wrote {out}, and what was found as {page}.", soft_wrap=True, markup=False)


def _pilots(text: str, budgets: Sequence[int]) -> list[int]:
    """The numbers of pilots that leave something of the top budget; if asked for, all of them."""
    asked = numbers("pilots", text)
    if text != PILOTS:
        return asked
    return [paid for paid in asked if paid <= max(1, max(budgets, default=0) - 1)]
