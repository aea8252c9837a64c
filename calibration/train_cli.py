"""``ttc train``: a PRM, an ORM or a reviser out of a language model's own samples."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from calibration.console import console, reports_errors
from calibration.options import AnswersOption, EngineOption, settings_options
from calibration.prompts import read_graded_prompts
from calibration.training.attempts import ChainSettings
from calibration.training.fine_tune import TrainSettings
from calibration.training.labels import LabelSettings, SampleSettings
from calibration.training.recipes import (
    Source,
    orm_recipe,
    prm_recipe,
    reviser_orm_recipe,
    reviser_recipe,
)
from calibration.training.reviser import ReviserSettings
from runtime.engine import SamplingSettings
from runtime.engines.loading import resolve_model

train_app = typer.Typer(
    help="Train a verifier or a reviser on a language model's own samples. "
    "A run that was interrupted goes on when it is started again.",
    no_args_is_help=True,
)

PromptsArgument = Annotated[Path, typer.Argument(help="JSON lines with 'prompt' and 'answer'")]
OutOption = Annotated[Path, typer.Option(help="folder for the trained model")]
ModelOption = Annotated[str, typer.Option(help="language model: folder or hub name")]


@train_app.command()
@reports_errors
@settings_options(sampling=SamplingSettings, labels=LabelSettings, training=TrainSettings)
def prm(
    prompts: PromptsArgument,
    out: OutOption,
    model: ModelOption,
    answers: AnswersOption = "math",
    engine: EngineOption = "auto",
    *,
    sampling: SamplingSettings,
    labels: LabelSettings,
    training: TrainSettings,
) -> None:
    """A process reward model: Monte Carlo rollouts from every step, no human labels."""
    graded = read_graded_prompts(prompts)
    source = Source(model=resolve_model(model), answers=answers, sampling=sampling, engine=engine)
    asyncio.run(prm_recipe(source, graded, out, labels, training))
    console.print(f"Wrote {out}.")


@train_app.command()
@reports_errors
@settings_options(sampling=SamplingSettings, samples=SampleSettings, training=TrainSettings)
def orm(
    prompts: PromptsArgument,
    out: OutOption,
    model: ModelOption,
    answers: AnswersOption = "math",
    engine: EngineOption = "auto",
    *,
    sampling: SamplingSettings,
    samples: SampleSettings,
    training: TrainSettings,
) -> None:
    """An outcome reward model: is a whole solution correct?"""
    graded = read_graded_prompts(prompts)
    source = Source(model=resolve_model(model), answers=answers, sampling=sampling, engine=engine)
    asyncio.run(orm_recipe(source, graded, out, samples, training))
    console.print(f"Wrote {out}.")


@train_app.command()
@reports_errors
@settings_options(sampling=SamplingSettings, chains=ReviserSettings, training=TrainSettings)
def reviser(
    prompts: PromptsArgument,
    out: OutOption,
    model: ModelOption,
    answers: AnswersOption = "math",
    engine: EngineOption = "auto",
    *,
    sampling: SamplingSettings,
    chains: ReviserSettings,
    training: TrainSettings,
) -> None:
    """A reviser: correct answers in view of incorrect ones."""
    graded = read_graded_prompts(prompts)
    source = Source(model=resolve_model(model), answers=answers, sampling=sampling, engine=engine)
    wrong, right = asyncio.run(reviser_recipe(source, graded, out, chains, training))
    console.print(
        f"On prompts held out, a revision turns {wrong:.0%} of correct attempts wrong, "
        f"and {right:.0%} of wrong ones correct."
    )
    console.print(f"Wrote {out}.")


@train_app.command("reviser-orm")
@reports_errors
@settings_options(sampling=SamplingSettings, chains=ChainSettings, training=TrainSettings)
def reviser_orm(
    prompts: PromptsArgument,
    out: OutOption,
    model: ModelOption,
    reviser: Annotated[str, typer.Option(help="the reviser: folder or hub name")],
    answers: AnswersOption = "math",
    engine: EngineOption = "auto",
    *,
    sampling: SamplingSettings,
    chains: ChainSettings,
    training: TrainSettings,
) -> None:
    """The reviser's own outcome reward model, which sees the chain of attempts."""
    graded = read_graded_prompts(prompts)
    source = Source(model=resolve_model(model), answers=answers, sampling=sampling, engine=engine)
    revises = resolve_model(reviser, "reviser")
    asyncio.run(reviser_orm_recipe(source, revises, graded, out, chains, training))
    console.print(f"Wrote {out}.")
