"""The settings of ``ttc train``; importing them loads no torch."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

VALIDATION_SHARE = 10  # one prompt in ten, as in the paper


class SampleSettings(BaseModel):
    """How many solutions are sampled."""

    samples: int = Field(default=16, ge=1, description="solutions sampled per prompt")
    seed: int = Field(default=0, ge=0, description="seed of all sampling and shuffling")


class LabelSettings(SampleSettings):
    """How many solutions and rollouts make the labels. The paper uses 16 and 16."""

    explored: int = Field(
        default=0,
        ge=0,
        description="solutions sampled besides at --exploring-temperature, for more mistakes to "
        "learn from; only their rollouts label them",
    )
    exploring_temperature: float = Field(
        default=1.5, gt=0, description="temperature of the explored solutions"
    )
    rollouts: int = Field(
        default=16,
        ge=0,
        description="rollouts from the end of every step; with 0, a step is labelled by how the "
        "solutions that hold it end",
    )


class ChainSettings(BaseModel):
    """How many chains are sampled, and how long."""

    chains: int = Field(default=4, ge=1, description="chains sampled per prompt")
    length: int = Field(default=5, ge=2, description="attempts in a chain")
    seed: int = Field(default=0, ge=0, description="seed of all sampling and shuffling")


class ReviserSettings(BaseModel):
    """How the chains are made. The paper samples 64 solutions per prompt, at higher temperature."""

    samples: int = Field(default=64, ge=2, description="solutions sampled per prompt")
    chains: int = Field(
        default=16, ge=1, description="chains per prompt at most, each ends correct"
    )
    context: int = Field(
        default=8192, ge=16, description="the reviser's context in tokens; the base's if greater"
    )
    mixed: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of chains of any attempts, correct ones too; of the others, as in the "
        "paper, all are incorrect",
    )
    changed_weight: float = Field(
        default=1.0,
        gt=0,
        description="weight of tokens in steps that the last attempt does not have",
    )
    seed: int = Field(default=0, ge=0, description="seed of all sampling and shuffling")


class TrainSettings(BaseModel):
    """The fine-tuning. The paper's values, but for the learning rate, suit any size of model."""

    learning_rate: float = Field(
        default=3e-5, gt=0, description="AdamW's; after a warm-up it falls linearly to 0"
    )
    batch: int = Field(default=128, ge=1, description="sequences per batch")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="attention dropout")
    max_epochs: int = Field(default=5, ge=1, description="epochs at most")
    patience: int = Field(
        default=1,
        ge=0,
        description="epochs in a row that may bring no lower validation loss; one more ends it",
    )
    compile: bool = Field(default=False, description="torch.compile the model; needs a compiler")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32",
        description="numbers that the model is saved in; training takes float32",
    )
    seed: int = Field(default=0, ge=0, description="seed of all sampling and shuffling")


class VerifierSettings(TrainSettings):
    """The fine-tuning of a verifier."""

    extra_layers: int = Field(default=0, ge=0, description="layers to add on top, for small models")
    likelihood: bool = Field(
        default=False,
        description="train a small head alone, which reads how likely the model finds each token "
        "of a solution; with a --backbone that is stronger than the model",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "VerifierSettings":
        if self.likelihood and self.extra_layers:
            raise ValueError(
                f"extra_layers: {self.extra_layers}; with likelihood the model stays as it is"
            )
        return self
