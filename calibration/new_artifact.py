"""A calibration's result as an artifact folder, which appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from allocator.errors import InputError
from allocator.latency import Latency
from calibration.fitting.fit import Calibration
from calibration.report.card import write_card
from calibration.report.summary import Summary
from predictors.scoring import Scoring
from runtime.artifact import ArtifactParts
from runtime.settings import Settings


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
    return ArtifactParts(
        table=calibration.table,
        oracle_table=calibration.oracle_table,
        difficulty={pilots: known.model for pilots, known in calibration.difficulty.items()},
        curves=calibration.curves,
        prices=calibration.gain_model.prices,
        gain_model=calibration.gain_model.gain_model,
        drift_baseline=calibration.drift_baseline,
        settings=settings,
        latency=latency,
        scoring=scoring,
        tokens=None if calibration.tokens is None else calibration.tokens.policy,
        thinking=calibration.thinking,
    )


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
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{out.name}.", dir=out.parent) as scratch:
            folder = Path(scratch) / out.name
            folder.mkdir()
            parts.save(folder)
            summary.save(folder)
            write_card(folder, artifact=str(out))
            yield folder
            os.replace(folder, out)
    except OSError as error:
        raise InputError(
            "out",
            str(out),
            f"cannot be written ({error.strerror or error}); {kept}: make room and run the same "
            "command again",
        ) from None
