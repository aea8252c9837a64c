"""``ttc solve`` and ``ttc explain``: answer prompts, and explain the choice of their plans."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from allocator.errors import InputError, ModelError
from allocator.files import atomic_write
from allocator.lock import check_writable
from allocator.plan import parse_plan
from allocator.policy import Policy
from allocator.table import BudgetRow
from calibration.cli.answering import answer_each
from calibration.cli.console import new_table, reports_errors, write_answer
from calibration.cli.options import (
    SOURCE_HELP,
    ArgsOptions,
    ArtifactOption,
    EngineOption,
    ForceOption,
    SeedOption,
    ThinkingOption,
    TrustOption,
    depth_of,
    load_artifact,
    load_table,
    settings_options,
)
from calibration.data.datasets import DataSettings, located_prompts
from calibration.progress import console, progress
from predictors.features import pilot_features
from predictors.learned import DifficultyPredictor
from runtime.artifact import Artifact, artifact_folder
from runtime.engines.loading import engine_kind
from runtime.frontend.reasoning import check_thinks
from runtime.models import open_models
from runtime.result import Decision, Failure, Result, Spend
from runtime.solving.solve import Solver
from runtime.solving.spend_checks import check_spend

BudgetOption = Annotated[int, typer.Option(help="generations allowed per prompt")]


@reports_errors
@settings_options(args=ArgsOptions, data=DataSettings)
def solve(
    artifact: ArtifactOption,
    budget: Annotated[int | None, typer.Option(help="generations each prompt may cost")] = None,
    average_budget: Annotated[
        float | None, typer.Option(help="generations prompts may cost on average")
    ] = None,
    total_budget: Annotated[
        int | None, typer.Option(help="generations all prompts together may cost")
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(help="tokens each prompt may cost, on average over prompts of its bin"),
    ] = None,
    average_tokens: Annotated[
        float | None,
        typer.Option(help="tokens prompts may cost on average: more or deeper thought"),
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(help="seconds each prompt may take; with --budget")
    ] = None,
    prompts: Annotated[list[str] | None, typer.Argument(help="prompts")] = None,
    file: Annotated[str | None, typer.Option(help=f"prompts: {SOURCE_HELP}")] = None,
    out: Annotated[Path | None, typer.Option(help="file for the answers; else stdout")] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="one plan for all: best_of_n:16, beam_search:16:4, revisions:16:4, ..."),
    ] = None,
    early_stop: Annotated[
        float | None,
        typer.Option(
            help="stop best-of-n once its answer stays ahead with this probability, 1: certainly; "
            "with --budget or --budget-tokens"
        ),
    ] = None,
    thinking: ThinkingOption = "full",
    metrics: Annotated[
        Path | None, typer.Option(help="file for Prometheus metrics, in the text format")
    ] = None,
    force: ForceOption = False,
    trust_grader: TrustOption = "",
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    *,
    args: ArgsOptions,
    data: DataSettings,
) -> None:
    """Answer prompts within a budget; JSON lines, each answer with its receipt."""
    _check_files(out, metrics)
    texts, rows = _prompts(prompts or [], file, data)
    fixed, cap = None if plan is None else parse_plan(plan), depth_of(thinking)
    engine_kind(engine)
    folder = artifact_folder(artifact)
    if budget is not None:
        Policy(load_table(folder)).row(budget)
    spend = Spend(budget, average_budget, total_budget, deadline, budget_tokens, average_tokens)
    loaded = load_artifact(folder, force, trust_grader, args.read(engine))
    check_spend(loaded, fixed, early_stop, spend, len(texts))
    if cap:
        check_thinks("thinking", cap, loaded.settings.marks(loaded.folder) is not None)

    async def run() -> list[Result | Failure]:
        opening = open_models(loaded.settings, loaded.folder, engine, args.verifier_engine)
        async with opening as models:
            solver = Solver(models, loaded, seed, fixed, early_stop, cap)
            with progress("Answering prompts", len(texts)) as done:
                results = await answer_each(solver, texts, rows, spend, done)
            # Before anything that may fail, and before the engine is closed, which takes seconds.
            _write(results, out)
            _report(solver, metrics)
            return results

    _refuse_failures(asyncio.run(run()))


def _report(solver: Solver, metrics: Path | None) -> None:
    """Warn of drift, and write the metrics."""
    drift = solver.monitor.report()
    if drift.drifted:
        console.print(f"warning: drift: {drift.why}", style="yellow", markup=False)
    if metrics is not None:
        solver.metrics.write(metrics)


def _prompts(
    prompts: Sequence[str], file: str | None, data: DataSettings
) -> tuple[list[str], dict[int, str]]:
    """All prompts, and the location in the file of those from it, by their number among all."""
    texts, rows = list(prompts), {}
    for where, text in located_prompts(file, data) if file else ():
        rows[len(texts)] = where
        texts.append(text)
    if not texts:
        raise InputError("prompts", texts, "give prompts on the command line, or --file")
    return texts, rows


def _check_files(out: Path | None, metrics: Path | None) -> None:
    files = {"out": out, "metrics": metrics}
    given = {field: path for field, path in files.items() if path is not None}
    for field, path in given.items():
        if path.is_dir() or not path.parent.is_dir():
            raise InputError(field, str(path), "give a file in a folder that exists")
        check_writable(path, field)
    if len({path.resolve() for path in given.values()}) < len(given):
        raise InputError("metrics", str(metrics), "it is the file of --out; give another one")


def _refuse_failures(results: Sequence[Result | Failure]) -> None:
    failed = [result for result in results if isinstance(result, Failure)]
    if failed:
        raise ModelError(
            "models", f"{len(failed)} of {len(results)} prompts failed: {failed[0].error}"
        )


def _write(results: Sequence[Result | Failure], out: Path | None) -> None:
    lines = "".join(result.model_dump_json() + "\n" for result in results)
    if out is None:
        write_answer(lines)
    else:
        with atomic_write(out) as scratch:
            scratch.write_text(lines)


@reports_errors
@settings_options(args=ArgsOptions)
def explain(
    artifact: ArtifactOption,
    budget: BudgetOption,
    prompt: Annotated[str, typer.Argument(help="the prompt")],
    force: ForceOption = False,
    trust_grader: TrustOption = "",
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    *,
    args: ArgsOptions,
) -> None:
    """Why a prompt gets the plan it gets: its pilots, what they say, and the other bins."""
    engine_kind(engine)
    folder = artifact_folder(artifact)
    row = Policy(load_table(folder)).row(budget)
    loaded = load_artifact(folder, force, trust_grader, args.read(engine))

    async def run() -> None:
        opening = open_models(loaded.settings, loaded.folder, engine, args.verifier_engine)
        async with opening as models:
            solver = Solver(models, loaded, seed)
            started = solver.start(prompt)
            decision, pilots = await solver.decide(started, budget)
            console.print(f"{decision.plan}: {decision.why}.", style="bold", soft_wrap=True)
            for pilot in pilots:
                steps = " ".join(f"{score:.2f}" for score in pilot.step_scores)
                console.print(
                    f"  pilot answered {pilot.answer}; PRM after each step: {steps}", markup=False
                )
            if pilots:
                features = pilot_features(len(started.context.token_ids), pilots)
                console.print(_moved(loaded, len(pilots), features))
            console.print(_bins(row, decision))

    asyncio.run(run())


def _moved(artifact: Artifact, pilots: int, features: NDArray[np.float64]) -> Table:
    moved = cast(DifficultyPredictor, artifact.difficulty[pilots].predictor).explain(features)
    shown = new_table("What moved the prediction", "feature", "value", "moves log-odds by")
    for (name, by), value in sorted(
        zip(moved.items(), features, strict=True), key=lambda item: -abs(item[0][1])
    )[:6]:
        shown.add_row(name, f"{value:.3f}", f"{by:+.2f}")
    return shown


def _bins(row: BudgetRow, decision: Decision) -> Table:
    shown = new_table(f"Budget {row.budget}", "bin", "pass@1 up to", "plan", "accuracy [95%]")
    for number, cell in enumerate(row.cells):
        upper = 1.0 if number == 0 else row.edges[number - 1]
        shown.add_row(
            f"{number + 1}" + (" <" if number + 1 == decision.bin else ""),
            f"{upper:.2f}",
            str(cell.plan),
            f"{cell.accuracy:.0%} [{cell.low:.0%}, {cell.high:.0%}]",
        )
    return shown
