"""The command line: solve, explain and demo; the others' commands join here."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from allocator.errors import InputError, ModelError
from allocator.files import whole_file
from allocator.plan import parse_plan
from calibration.answering import answer_each
from calibration.artifact_cli import diff, inspect, report
from calibration.bench_cli import bench
from calibration.calibrate_cli import calibrate
from calibration.console import console, progress, reports_errors
from calibration.datasets import DataSettings, located_prompts
from calibration.flops_cli import flops
from calibration.lock import check_writable
from calibration.options import (
    SOURCE_HELP,
    ArtifactOption,
    EngineOption,
    ForceOption,
    SeedOption,
    load_artifact,
    settings_options,
)
from calibration.serve_cli import serve
from calibration.train_cli import train_app
from predictors.features import pilot_features
from predictors.learned import DifficultyPredictor
from runtime.artifact import open_decoder
from runtime.result import Failure, Result, Spend
from runtime.solve import Solver

app = typer.Typer(
    help="Think as long as a prompt deserves: test-time compute allocation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(train_app, name="train")

BudgetOption = Annotated[int, typer.Option(help="generations a prompt may cost")]


@app.command()
@reports_errors
@settings_options(data=DataSettings)
def solve(
    artifact: ArtifactOption,
    budget: Annotated[int, typer.Option(help="generations each prompt may cost")] = 0,
    average_budget: Annotated[
        float | None, typer.Option(help="generations prompts may cost on average")
    ] = None,
    total_budget: Annotated[
        int | None, typer.Option(help="generations all prompts together may cost")
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
        bool, typer.Option(help="stop best-of-n once the rest cannot change the answer")
    ] = False,
    metrics: Annotated[
        Path | None, typer.Option(help="file for Prometheus metrics, in the text format")
    ] = None,
    force: ForceOption = False,
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    *,
    data: DataSettings,
) -> None:
    """Answer prompts within a budget; JSON lines, each answer with its receipt."""
    if metrics is not None and not metrics.parent.is_dir():
        raise InputError("metrics", str(metrics), "give a file in a folder that exists")
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise InputError("out", str(out), "give a file in a folder that exists")
    if out is not None:
        check_writable(out)
    texts, rows = list(prompts or []), {}
    for where, text in located_prompts(file, data) if file else ():
        rows[len(texts)] = where
        texts.append(text)
    if not texts:
        raise InputError("prompts", texts, "give prompts on the command line, or --file")
    fixed = None if plan is None else parse_plan(plan)
    spend = Spend(budget, average_budget, total_budget, deadline)
    if fixed is not None and not budget:
        raise InputError("plan", plan, "a plan goes with --budget")

    async def run() -> list[Result | Failure]:
        loaded = load_artifact(artifact, force)
        if budget:
            loaded.policy.row(budget)
        async with open_decoder(loaded.settings, loaded.folder, engine) as decoder:
            decoder = replace(decoder, early_stop=early_stop)
            solver = Solver(decoder, loaded, seed, fixed)
            with progress("Answering prompts", len(texts)) as done:
                found = await answer_each(solver, texts, rows, spend, done)
            drift = solver.monitor.report()
            if drift.drifted:
                console.print(f"warning: drift: {drift.why}", style="yellow", markup=False)
            if metrics is not None:
                solver.metrics.write(metrics)
            return found

    results = asyncio.run(run())
    lines = "".join(result.model_dump_json() + "\n" for result in results)
    if out is None:
        sys.stdout.write(lines)
    else:
        with whole_file(out) as scratch:
            scratch.write_text(lines)
    failed = [result for result in results if isinstance(result, Failure)]
    if failed:
        raise ModelError(
            "models", f"{len(failed)} of {len(texts)} prompts failed: {failed[0].error}"
        )


@app.command()
@reports_errors
def explain(
    artifact: ArtifactOption,
    budget: BudgetOption,
    prompt: Annotated[str, typer.Argument(help="the prompt")],
    force: ForceOption = False,
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
) -> None:
    """Why a prompt gets the plan it gets: its pilots, what they say, and the other bins."""

    async def run() -> None:
        loaded = load_artifact(artifact, force)
        row = loaded.policy.row(budget)
        async with open_decoder(loaded.settings, loaded.folder, engine) as decoder:
            solver = Solver(decoder, loaded, seed)
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
            model = loaded.difficulty[len(pilots)]
            moved = cast(DifficultyPredictor, model.predictor).explain(features)
            shown = Table(
                "feature", "value", "moves log-odds by", title="What moved the prediction"
            )
            for (name, by), value in sorted(
                zip(moved.items(), features, strict=True), key=lambda item: -abs(item[0][1])
            )[:6]:
                shown.add_row(name, f"{value:.3f}", f"{by:+.2f}")
            console.print(shown)
        bins = Table("bin", "pass@1 up to", "plan", "accuracy", title=f"Budget {row.budget}")
        for number, cell in enumerate(row.cells):
            upper = 1.0 if number == 0 else row.edges[number - 1]
            bins.add_row(
                f"{number + 1}" + (" <" if number + 1 == decision.bin else ""),
                f"{upper:.2f}",
                str(cell.plan),
                f"{cell.accuracy:.0%} [{cell.low:.0%}, {cell.high:.0%}]",
            )
        console.print(bins)

    asyncio.run(run())


@app.command()
@reports_errors
def demo(
    prompts: Annotated[int, typer.Option(help="held-out test prompts")] = 200,
    out: Annotated[Path, typer.Option(help="folder for demo.json and demo.png")] = Path("out"),
    engine: EngineOption = "auto",
) -> None:
    """The whole path on the committed testbed: what allocation saves against best-of-N."""
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "it is a file; give a folder")
    check_writable(out / "demo.json")
    root = Path(__file__).parent.parent
    if not (root / "benchmarks" / "demo.py").is_file():
        raise InputError("demo", str(root), "the demo's models lie in the repository; clone it")
    sys.path.insert(0, str(root))
    from benchmarks.demo import run_demo

    run_demo(prompts, out, engine)


for command in (calibrate, bench, report, inspect, diff, flops, serve):
    app.command()(command)


if __name__ == "__main__":
    app()
