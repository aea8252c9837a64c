"""What an artifact was calibrated with: models, answers and sampling."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from allocator import migrate
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.flops import ModelSizes
from allocator.table import Fingerprint
from predictors.confidence import ConfidenceSettings
from predictors.scoring import VERIFIER_ALONE, Scoring, alone
from runtime.answers.graders import PREFIX, answers_fingerprint, grader_file
from runtime.answers.readers import DEADLINE
from runtime.engines.base import SamplingSettings
from runtime.engines.checkpoint import model_fingerprint, model_sizes, resolve_model
from runtime.engines.engine_args import ARGS, EngineArgs, in_fingerprint
from runtime.solutions.marks import ThoughtMarks, thought_marks
from runtime.verifiers.base import Aggregation, FamilyName

# What the fingerprint calls the verifier where there is none.
NO_VERIFIER = "none"

# Seconds. Long solutions of many beams queue up before a verifier; one that hangs is found out.
VERIFIER_TIMEOUT = 3600.0

MODELS = ("model", "verifier", "reviser", "reviser_verifier")


class Settings(JsonArtifact):
    """What an artifact was calibrated with.

    Attributes:
        model: hub name or folder of the language model. A relative folder counts from the
            artifact's own, here and below.
        verifier: the PRM, or an ORM; None where solutions are scored without one.
        verifier_family: the verifier's convention, see `runtime.verifiers.families`.
        verifier_timeout: seconds that a verifier may take over one solution, queueing included.
        reviser: the model that revises; None where there is none.
        reviser_verifier: the verifier of its attempts; None takes `verifier`.
        answers: how answers are read, see `runtime.answers.answers_for`. A Python file is found as
            a model's folder is.
        answer_timeout: seconds that one answer may take to compare; then it equals itself alone.
        thought: marks of the model's thoughts, see `runtime.answers.thought.thoughts_of`.
        thought_cutoff: text that ends a thought at its cap, and may begin the answer; empty takes
            the mark's own, see `runtime.answers.thought.Thought.cutoff`.
        aggregation: how step scores become one, where one is needed.
        scoring: how a solution's score is made; without it the score is that aggregation.
        sampling: how solutions are sampled.
        confidence: how the confidence of solutions is read, and when it ends them; None where it is
            not read.
        engine_args: arguments of the vLLM engine that runs the language model. They are of the
            machine, and not in the fingerprint, but for those that change results.
        verifier_args: likewise of either verifier.
        reviser_args: likewise of the reviser.
    """

    MIGRATIONS = migrate.SETTINGS

    schema_version: Literal[2] = 2
    model: str
    verifier: str | None
    verifier_family: FamilyName = "auto"
    verifier_timeout: float = Field(default=VERIFIER_TIMEOUT, gt=0, allow_inf_nan=False)
    reviser: str | None = None
    reviser_verifier: str | None = None
    answers: str
    answer_timeout: float = Field(default=DEADLINE, gt=0)
    thought: str = "auto"
    thought_cutoff: str = ""
    aggregation: Aggregation = "last"
    scoring: Scoring = VERIFIER_ALONE
    sampling: SamplingSettings
    confidence: ConfidenceSettings | None = None
    engine_args: EngineArgs = Field(default_factory=dict)
    verifier_args: EngineArgs = Field(default_factory=dict)
    reviser_args: EngineArgs = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _verifier_alone(cls, document: Any) -> Any:
        """Without a fitted scoring a solution's score is the verifier's."""
        if isinstance(document, dict) and "scoring" not in document:
            return document | {"scoring": alone(document.get("aggregation", "last"))}
        return document

    @classmethod
    def _up_to_date(cls, document: migrate.Document) -> migrate.Document:
        return super()._up_to_date({"schema_version": 0} | document)

    def fingerprint(self, base: Path) -> Fingerprint:
        """Hashes of the models and the settings; relative folders and files count from `base`."""
        hashes = {"verifier": NO_VERIFIER}
        hashes |= {
            which: model_fingerprint(self.folder(base, which)) + in_fingerprint(self.args(which))
            for which in self.models()
        }
        return Fingerprint(
            **hashes,
            answers=answers_fingerprint(self.answers, base)
            + ("" if self.thought == "auto" else f", thought {self.thought}")
            + (f", cut off by {self.thought_cutoff!r}" if self.thought_cutoff else ""),
            aggregation=self.aggregation,
            # Tables from before confidence was read do not name its weight.
            scoring={
                name: weight
                for name, weight in self.scoring.dumped().items()
                if weight or name != "confidence"
            },
            sampling=self.sampling.model_dump(),
        )

    def sizes(self, base: Path) -> ModelSizes | None:
        """Parameters of the models; relative folders count from `base`.

        Returns:
            None where the size of any of them is unknown.

        Raises:
            InputError: a model that is not to be found.
        """
        return model_sizes({which: self.folder(base, which) for which in self.models()})

    def marks(self, base: Path) -> ThoughtMarks | None:
        """By which the language model's thoughts are capped and skipped; None if it has none."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.folder(base, "model"))
        return thought_marks(tokenizer, self.thought, self.thought_cutoff)

    def models(self) -> list[str]:
        """Names of the fields that hold a model."""
        return [which for which in MODELS if getattr(self, which) is not None]

    def local_folder(self, base: Path, which: str) -> Path | None:
        """The folder of one of the models on this machine; None for a name on the hub."""
        name = str(getattr(self, which))
        return next((place for place in (base / name, Path(name)) if place.is_dir()), None)

    def args(self, which: str) -> EngineArgs:
        """Arguments of the vLLM engine of one of the models."""
        args: EngineArgs = getattr(self, ARGS[which])
        return args

    def with_args(self, given: Mapping[str, EngineArgs]) -> "Settings":
        """The same with some of the engines' arguments.

        Args:
            given: by the settings that hold them; arguments that are not named stay.
        """
        return self.model_copy(
            update={field: getattr(self, field) | args for field, args in given.items()}
        )

    def folder(self, base: Path, which: str) -> Path:
        """The folder of one of the models.

        Raises:
            InputError: it is not to be found.
        """
        name = str(getattr(self, which))
        if (local := self.local_folder(base, which)) is not None:
            return resolve_model(str(local), which)
        try:
            return resolve_model(name, which)
        except InputError as error:
            tried = (base / name, Path(name))
            places = " nor ".join(dict.fromkeys(str(place.resolve()) for place in tried))
            raise InputError(
                which, name, f"there is no folder {places}; give its path ({error.hint})"
            ) from None

    def relative_to(self, base: Path) -> "Settings":
        """The same with local model folders, and a grader's file, written as seen from `base`."""
        local = {
            which: _seen_from(base, model)
            for which in self.models()
            if (model := Path(getattr(self, which))).is_dir()
        }
        if (grader := grader_file(self.answers, Path())) is not None:
            local["answers"] = PREFIX + _seen_from(base, grader)
        return self.model_copy(update=local)

    def with_absolute_paths(self, base: Path) -> "Settings":
        """The same with local model folders, and a grader's file, as absolute paths.

        Those that are absolute stay as they are: a link may lead elsewhere on other machines.

        Args:
            base: where relative ones count from; else from the working directory.
        """
        local = {
            which: str(folder.resolve())
            for which in self.models()
            if not Path(getattr(self, which)).is_absolute()
            and (folder := self.local_folder(base, which)) is not None
        }
        grader = grader_file(self.answers, base)
        if grader is not None and not Path(self.answers.removeprefix(PREFIX)).is_absolute():
            local["answers"] = PREFIX + str(grader.resolve())
        return self.model_copy(update=local)


def _seen_from(base: Path, path: Path) -> str:
    """A path as seen from a folder.

    Folders are resolved first: the parent of a link to a folder is that of its target. What the
    path itself names may be a link, and stays one.
    """
    return os.path.relpath(path.parent.resolve() / path.name, base.resolve())
