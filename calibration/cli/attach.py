"""``ttc attach``: models for an artifact that was made from logs."""

import asyncio
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import BaseModel, Field

from allocator.errors import InputError
from calibration.attaching.attach import LogArtifact
from calibration.attaching.check import Check, check_models
from calibration.attaching.scores import verifier_scoring
from calibration.cli.calibrate_options import SolvingOptions
from calibration.cli.console import reports_errors, say
from calibration.cli.options import (
    SOURCE_HELP,
    ArgsOptions,
    ArtifactArgument,
    EngineOption,
    SeedOption,
    given,
    settings_options,
)
from calibration.data.datasets import DataSettings, read_graded_prompts, rows_named
from calibration.data.table_io import pairs
from calibration.progress import console, progress
from runtime.answers.graders import PREFIX
from runtime.artifact import artifact_folder
from runtime.engines.base import SamplingSettings
from runtime.engines.loading import EngineName
from runtime.settings import Settings
from runtime.verifiers.loading import VerifierEngine

UNCHECKED = "nothing was checked: whether these models sample as the log's did is not known"


class CheckOptions(BaseModel):
    """What is sampled to compare the models with the log."""

    check: str | None = Field(
        default=None,
        description=f"graded prompts to compare the models with the log on: {SOURCE_HELP}",
    )
    check_prompts: int = Field(default=32, ge=2, description="prompts to sample of them")
    check_samples: int = Field(default=4, ge=1, description="samples of each prompt")


@reports_errors
@settings_options(
    models=SolvingOptions,
    args=ArgsOptions,
    checks=CheckOptions,
    data=DataSettings,
    sampling=SamplingSettings,
)
def attach(
    context: typer.Context,
    artifact: ArtifactArgument,
    out: Annotated[Path, typer.Option(help="artifact folder to write")],
    scores: Annotated[
        str,
        typer.Option(
            help="what the log's scores are of a verifier's step scores: score=last,best=product; "
            "last, min, product or mean. Names that end so need not be given"
        ),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="attach models that are unlike the log")
    ] = False,
    seed: SeedOption = 0,
    engine: EngineOption = "auto",
    *,
    models: SolvingOptions,
    args: ArgsOptions,
    checks: CheckOptions,
    data: DataSettings,
    sampling: SamplingSettings,
) -> None:
    """Give an artifact made from logs the models to run, and compare them with the log.

    Writes a new artifact for ttc solve, ttc serve and the drop-ins. With
    --check, a few samples of the model are compared with the log: pass@1,
    tokens per sample, and the distributions of scores, agreement and bins.
    Models are refused if a test says that they are clearly different.
    Samples like the log's are called different in 1% of checks.
    """
    made = LogArtifact(artifact_folder(artifact))
    if models.model is None:
        raise InputError("model", None, "must be given")
    if made.answers is not None and "answers" not in given(context):
        if made.answers.startswith(PREFIX):
            raise InputError("answers", None, "the log was graded by a Python file; give it again")
        models = models.model_copy(update={"answers": made.answers})
    translated = verifier_scoring(made.scoring, pairs("scores", scores))
    settings = Settings(**models.model_dump(), scoring=translated.scoring, sampling=sampling)
    settings = settings.with_args(args.read(engine))
    made.check(settings, out)
    read = [] if "answers" in given(context) else [f"answers are read by {settings.answers!r}"]
    for note in (*read, *translated.notes):
        say("note", note, "cyan")
    if checks.check is None:
        say("note", f"{UNCHECKED}; give graded prompts with --check", "cyan")
        warning = UNCHECKED
    else:
        engines = engine, args.verifier_engine
        found = _check(made, settings, checks.check, checks, data, engines, seed)
        warning = _verdict(found, force)
    made.attach(settings, out, [warning] if warning else [])
    console.print(f"Wrote {out}.", soft_wrap=True, markup=False)
    console.print(
        f"Next: ttc solve --artifact {out} --average-budget 4 'your prompt'",
        soft_wrap=True,
        markup=False,
    )


def _check(
    made: LogArtifact,
    settings: Settings,
    source: str,
    checks: CheckOptions,
    data: DataSettings,
    engines: tuple[EngineName, VerifierEngine],
    seed: int,
) -> Check:
    """Sample some prompts of a source, and compare the samples with the log."""
    engine, verifier_engine = engines
    figures = made.figures()
    graded = _some(read_graded_prompts(source, data), checks.check_prompts, seed)
    with rows_named(source, data), progress("Checking the models", len(graded)) as done:
        return asyncio.run(
            check_models(
                made.policy,
                figures,
                settings,
                graded,
                checks.check_samples,
                engine=engine,
                verifier_engine=verifier_engine,
                seed=seed,
                done=done,
            )
        )


def _some(graded: list[tuple[str, str]], count: int, seed: int) -> list[tuple[str, str]]:
    """Some of the prompts at random: a file may be sorted by difficulty."""
    order = np.random.default_rng(seed).permutation(len(graded))[:count]
    return [graded[number] for number in sorted(order.tolist())]


def _verdict(found: Check, force: bool) -> str:
    """Print a check; the warning that the artifact keeps, if there is one.

    Raises:
        InputError: the models are clearly unlike the log, and not forced.
    """
    for line in found.lines:
        say("check", line, "cyan")
    if not found.differences:
        say("check", f"no clear difference (no p below {found.alarm:.2g})", "green")
        return ""
    unlike = f"the models are unlike the log: {'; '.join(found.differences)}"
    if not force:
        raise InputError(
            "check",
            "; ".join(found.differences),
            "clearly unlike the log: the model, its prompts or its sampling differ, and the tables "
            "may not hold. Attach them all the same with --force",
        )
    say("warning", unlike, "yellow")
    return unlike
