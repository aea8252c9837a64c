"""``ttc train``: train a PRM, an ORM or a reviser on a language model's own samples."""

import asyncio
from math import isnan
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, Field

from allocator.extras import require
from calibration.cli.console import reports_errors
from calibration.cli.options import (
    ANSWERS_HELP,
    THOUGHT_HELP,
    TIMEOUT_HELP,
    PromptsArgument,
    settings_options,
)
from calibration.data.datasets import DataSettings, read_graded_prompts
from calibration.progress import console
from calibration.training.recipes import (
    Source,
    check_own,
    orm_recipe,
    prm_recipe,
    reviser_orm_recipe,
    reviser_recipe,
)
from calibration.training.settings import (
    ChainSettings,
    LabelSettings,
    ReviserSettings,
    SampleSettings,
    TrainSettings,
    VerifierSettings,
)
from runtime.answers.readers import DEADLINE
from runtime.engines.base import SamplingSettings
from runtime.engines.checkpoint import resolve_model
from runtime.engines.loading import ENGINE_NAME_HELP, EngineName

train_app = typer.Typer(
    help="Train a verifier or a reviser on a language model's own samples. "
    "An interrupted run resumes when it is started again.",
    no_args_is_help=True,
)

OutOption = Annotated[Path, typer.Option(help="folder for the trained model")]


class ModelSettings(BaseModel):
    """The language model to train on."""

    model: str = Field(description="language model: folder or hub name")
    backbone: str | None = Field(
        default=None,
        description="train this language model on the other's samples: a larger one with the same "
        "tokens tells right from wrong better",
    )
    answers: str = Field(default="math", description=ANSWERS_HELP)
    answer_timeout: float = Field(default=DEADLINE, gt=0, description=TIMEOUT_HELP)
    thought: str = Field(default="auto", description=THOUGHT_HELP)
    engine: EngineName = Field(default="auto", description=ENGINE_NAME_HELP)

    def source(self, sampling: SamplingSettings) -> Source:
        """The source that recipes start from."""
        return Source(
            model=resolve_model(self.model),
            backbone=None if self.backbone is None else resolve_model(self.backbone),
            answers=self.answers,
            answer_timeout=self.answer_timeout,
            thought=self.thought,
            sampling=sampling,
            engine=self.engine,
        )


@train_app.command()
@reports_errors
@settings_options(
    data=DataSettings,
    model=ModelSettings,
    sampling=SamplingSettings,
    labels=LabelSettings,
    training=VerifierSettings,
)
def prm(
    prompts: PromptsArgument,
    out: OutOption,
    *,
    data: DataSettings,
    model: ModelSettings,
    sampling: SamplingSettings,
    labels: LabelSettings,
    training: VerifierSettings,
) -> None:
    """A process reward model: Monte Carlo rollouts from every step, no human labels."""
    check_own(out)
    graded = read_graded_prompts(prompts, data)
    asyncio.run(prm_recipe(model.source(sampling), graded, out, labels, training))
    console.print(f"Wrote {out}.")


@train_app.command()
@reports_errors
@settings_options(
    data=DataSettings,
    model=ModelSettings,
    sampling=SamplingSettings,
    samples=SampleSettings,
    training=VerifierSettings,
)
def orm(
    prompts: PromptsArgument,
    out: OutOption,
    *,
    data: DataSettings,
    model: ModelSettings,
    sampling: SamplingSettings,
    samples: SampleSettings,
    training: VerifierSettings,
) -> None:
    """An outcome reward model: is a whole solution correct?"""
    check_own(out)
    graded = read_graded_prompts(prompts, data)
    asyncio.run(orm_recipe(model.source(sampling), graded, out, samples, training))
    console.print(f"Wrote {out}.")


@train_app.command()
@reports_errors
@settings_options(
    data=DataSettings,
    model=ModelSettings,
    sampling=SamplingSettings,
    chains=ReviserSettings,
    training=TrainSettings,
)
def reviser(
    prompts: PromptsArgument,
    out: OutOption,
    *,
    data: DataSettings,
    model: ModelSettings,
    sampling: SamplingSettings,
    chains: ReviserSettings,
    training: TrainSettings,
) -> None:
    """A reviser: correct answers in view of incorrect ones."""
    require("training", "reviser", str(out))
    check_own(out)
    graded = read_graded_prompts(prompts, data)
    recipe = reviser_recipe(model.source(sampling), graded, out, chains, training)
    wrong, right = asyncio.run(recipe)
    console.print(_revisions(wrong, right))
    console.print(f"Wrote {out}.")


def _revisions(wrong: float, right: float) -> str:
    """The shares of `calibration.training.attempts.flip_rates` in words."""
    turned = f"a revision turns {wrong:.0%} of correct attempts wrong"
    corrected = f"{right:.0%} of wrong ones correct"
    if isnan(wrong):
        turned = "no attempt was correct before its revision"
        corrected = f"a revision turns {corrected}"
    elif isnan(right):
        corrected = "no attempt was wrong before its revision"
    return f"On prompts held out, {turned}, and {corrected}."


@train_app.command("reviser-orm")
@reports_errors
@settings_options(
    data=DataSettings,
    model=ModelSettings,
    sampling=SamplingSettings,
    chains=ChainSettings,
    training=VerifierSettings,
)
def reviser_orm(
    prompts: PromptsArgument,
    out: OutOption,
    reviser: Annotated[str, typer.Option(help="the reviser: folder or hub name")],
    *,
    data: DataSettings,
    model: ModelSettings,
    sampling: SamplingSettings,
    chains: ChainSettings,
    training: VerifierSettings,
) -> None:
    """The reviser's own outcome reward model, which sees the chain of attempts."""
    check_own(out)
    graded = read_graded_prompts(prompts, data)
    revises = resolve_model(reviser, "reviser")
    recipe = reviser_orm_recipe(model.source(sampling), revises, graded, out, chains, training)
    asyncio.run(recipe)
    console.print(f"Wrote {out}.")
