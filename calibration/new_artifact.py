"""A calibration's result as an artifact folder, which appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from allocator.files import RUN_AGAIN, reports_unwritable
from allocator.latency import Latency
from allocator.policy import Policy
from calibration.fitting.fit import Calibration
from calibration.report.card import write_card
from calibration.report.summary import Summary
from predictors.scoring import Scoring
from runtime.artifact import ArtifactParts, FittedPolicy
from runtime.settings import Settings


def fitted_policy(calibration: Calibration, scoring: Scoring | None = None) -> FittedPolicy:
    """What a calibration has found, as its artifact would give it back; no plan is timed.

    Args:
        calibration: what was fitted.
        scoring: how samples are scored; None where votes are only counted.
    """
    return FittedPolicy(
        folder=Path(),
        policy=Policy(calibration.table),
        difficulty={pilots: fitted.model for pilots, fitted in calibration.difficulty.items()},
        curves=calibration.curves,
        prices=calibration.gain_model.prices,
        gain_model=calibration.gain_model.gain_model,
        latency=Latency.of({}),
        drift_baseline=calibration.drift_baseline,
        scoring=scoring,
        tokens=None if calibration.tokens is None else calibration.tokens.policy,
        thinking=calibration.thinking,
    )


def parts_of(
    calibration: Calibration,
    settings: Settings | None = None,
    latency: Latency | None = None,
    scoring: Scoring | None = None,
) -> ArtifactParts:
    """What a calibration has found, for its artifact.

    Args:
        calibration: what was fitted.
        settings: what was sampled with; None for a calibration from logs.
        latency: seconds of every plan; None likewise.
        scoring: how logged samples are scored; None where settings say it, or nothing does.
    """
    parts = ArtifactParts.of(fitted_policy(calibration), calibration.oracle_table)
    return replace(parts, settings=settings, latency=latency, scoring=scoring)


@contextmanager
def new_artifact(
    out: Path, parts: ArtifactParts, summary: Summary, kept: str = "samples are kept"
) -> Iterator[Path]:
    """A new artifact's folder, for samples to be put in; it takes its place at the end.

    Args:
        out: where.
        parts: what is written.
        summary: likewise.
        kept: what is not lost if it cannot be written, for the message.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    with reports_unwritable("out", out, f"{kept}: {RUN_AGAIN}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{out.name}.", dir=out.parent) as scratch:
            folder = Path(scratch) / out.name
            folder.mkdir()
            parts.save(folder)
            summary.save(folder)
            write_card(folder, artifact=str(out))
            yield folder
            os.replace(folder, out)
