"""From an artifact made from logs to one that can be served: models, answers and sampling."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from allocator.errors import InputError
from allocator.lock import check_writable
from allocator.table import LookupTable
from calibration.data.logged_figures import LoggedFigures
from calibration.data.sample_log import LOGGED
from calibration.new_artifact import new_artifact
from calibration.report.summary import Summary
from runtime.answers.graders import answers_fingerprint
from runtime.artifact import (
    LOG_VERIFIER,
    LOGGED_FIGURES,
    QUESTIONS,
    SETTINGS,
    ArtifactParts,
    FittedPolicy,
    is_artifact,
    read_oracle_table,
    read_scoring,
    read_table,
)
from runtime.settings import Settings


def with_models(parts: ArtifactParts, settings: Settings, out: Path) -> ArtifactParts:
    """What was found on logs, for the models that are to be run.

    Args:
        parts: as calibration from logs makes them.
        settings: models, answers, scoring and sampling; relative folders count from the working
            directory.
        out: the artifact's folder.

    Raises:
        InputError: a model that cannot be found.
    """
    fingerprint = settings.fingerprint(Path())

    def of_models(table: LookupTable) -> LookupTable:
        return table.model_copy(update={"fingerprint": fingerprint})

    return replace(
        parts,
        table=of_models(parts.table),
        oracle_table=of_models(parts.oracle_table),
        settings=settings.relative_to(out),
        scoring=None,
    )


class LogArtifact:
    """An artifact made from logs, to which models are attached.

    Args:
        folder: its folder.

    Attributes:
        folder: as given.
        scoring: how logged samples are scored; None where votes are only counted.
        answers: how the log's answers were compared, see
            `runtime.answers.graders.answers_fingerprint`; None where they were not read from
            solutions.

    Raises:
        InputError: no artifact, a damaged one, or one that names its models.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if (folder / SETTINGS).is_file():
            raise InputError("artifact", str(folder), "it names its models already")
        if not is_artifact(folder) or read_table(folder).fingerprint.verifier != LOG_VERIFIER:
            raise InputError(
                "artifact", str(folder), "must be one that ttc calibrate --from-logs has made"
            )
        compared = read_table(folder).fingerprint.answers
        self.answers = None if compared == LOGGED else compared
        self.scoring = read_scoring(folder)

    @cached_property
    def policy(self) -> FittedPolicy:
        """What it decides by."""
        return FittedPolicy.load(self.folder)

    def figures(self) -> LoggedFigures:
        """What the logged samples are like.

        Raises:
            InputError: missing or damaged.
        """
        path = self.folder / LOGGED_FIGURES
        if not path.is_file():
            raise InputError(
                "check",
                str(self.folder),
                f"it has no {LOGGED_FIGURES} to compare with; calibrate from the log again",
            )
        return LoggedFigures.load(path)

    def check(self, settings: Settings, out: Path) -> None:
        """Check that models can be attached, before any of them is loaded.

        Args:
            settings: models, answers, scoring and sampling.
            out: the folder to write, which must not exist yet.

        Raises:
            InputError: what cannot be done.
        """
        if out.exists():
            raise InputError(
                "out", str(out), "it exists already; choose another folder, or remove it"
            )
        check_writable(out)
        weighted = self.scoring is not None and any(self.scoring.scores.values())
        if weighted and settings.verifier is None:
            raise InputError("verifier", None, "must be given: the log's scores have weight")
        if not weighted and settings.verifier is not None:
            raise InputError(
                "verifier",
                settings.verifier,
                "no score of the log has weight, so a verifier's would not be read; leave it out",
            )
        compared = answers_fingerprint(settings.answers, Path())
        if self.answers is not None and compared != self.answers:
            raise InputError(
                "answers", settings.answers, f"must be as the log's were: {self.answers}"
            )

    def attach(self, settings: Settings, out: Path, warnings: Sequence[str] = ()) -> None:
        """Write a new artifact with the log's tables, for the models of the settings.

        Args:
            settings: models, answers, scoring and sampling; relative folders count from the
                working directory.
            out: the new artifact's folder.
            warnings: added to those of the summary.

        Raises:
            InputError: as `check`, a model that cannot be found, or a folder that cannot be
                written.
        """
        self.check(settings, out)
        parts = ArtifactParts.of(self.policy, read_oracle_table(self.folder))
        parts = with_models(parts, settings, out)
        summary = Summary.load(self.folder)
        summary = summary.model_copy(update={"warnings": (*summary.warnings, *warnings)})
        with new_artifact(out, parts, summary, f"{self.folder} is untouched") as scratch:
            for name in (QUESTIONS, LOGGED_FIGURES):
                if (self.folder / name).is_file():
                    shutil.copy(self.folder / name, scratch / name)
