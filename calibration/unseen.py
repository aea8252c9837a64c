"""Prompts and questions that an artifact has not seen, and whether they are enough to measure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from allocator.errors import InputError
from calibration.data.questions import MIN_PROMPTS, TEXTS, CalibratedOn
from calibration.data.sample_log import Log
from calibration.sampling.store import sampled_prompts
from runtime.artifact import QUESTIONS, SAMPLES


def unseen(
    prompts: Sequence[tuple[str, str]], folder: Path
) -> tuple[list[tuple[str, str]], int | None]:
    """The prompts that an artifact was not calibrated on.

    Args:
        prompts: (prompt, right answer) pairs.
        folder: the artifact folder.

    Returns:
        These prompts, and the number of prompts left out; None if it is unknown, because the
        artifact was copied without its samples, or made from a log without the prompts' texts.

    Raises:
        InputError: no prompt is left.
    """
    known = _calibrated_on(folder)
    texts = [prompt for prompt, _ in prompts]
    seen = None if known is None else known.seen(dict.fromkeys(TEXTS, texts))
    if seen is None:
        return list(prompts), None
    left = [pair for pair, was_seen in zip(prompts, seen, strict=True) if not was_seen]
    if not left:
        raise InputError(
            "prompts",
            len(prompts),
            "the artifact was calibrated on every one of them; give a data set, or a split, that "
            "it has not seen",
        )
    return left, len(prompts) - len(left)


def unseen_questions(log: Log, folder: Path) -> tuple[Log, int | None]:
    """The questions of a log that an artifact was not calibrated on.

    Args:
        log: the log.
        folder: the artifact folder.

    Returns:
        These questions, and the number left out; None if it is unknown, because the artifact does
        not say what it was calibrated on, or knows questions by other columns than the log.

    Raises:
        InputError: none is left.
    """
    known = _calibrated_on(folder)
    seen = None if known is None else known.seen(log.names)
    if known is None or seen is None:
        return log, None
    if seen.all():
        raise InputError(
            "from-logs",
            log.name,
            f"the artifact was calibrated on every one of its questions{_known_by(known, log)}; "
            "test on others, or calibrate on a part of them: --split 0.5",
        )
    return log.take(np.flatnonzero(~seen)), int(seen.sum())


def _known_by(known: CalibratedOn, log: Log) -> str:
    """What may be wrong where questions are known by their numbers alone; empty elsewhere."""
    if known.compares_texts(log.names):
        return ""
    columns = " and ".join(repr(name) for name in log.names if name in known.columns)
    needed = "give their text in a column question"
    if not known.columns & {*TEXTS}:
        needed += ", here and in the log that is calibrated on, or other names"
    return f", known by {columns} alone: if these are other questions, {needed}"


def _calibrated_on(folder: Path) -> CalibratedOn | None:
    """What an artifact was calibrated on; None if it does not say."""
    if (folder / SAMPLES).is_file():
        prompts = sorted(sampled_prompts(folder / SAMPLES))
        return CalibratedOn.of(dict.fromkeys(TEXTS, prompts))
    path = folder / QUESTIONS
    return CalibratedOn.load(path) if path.is_file() else None


def check_several(field: str, prompts: int) -> None:
    """Check that intervals over prompts are possible: over a single one they would have no width.

    Raises:
        InputError: a single prompt, with this field.
    """
    if prompts < 2:
        raise InputError(
            field,
            prompts,
            f"give at least 2 prompts to measure, better {MIN_PROMPTS}: intervals are over prompts",
        )


def few_prompts(prompts: int) -> tuple[str, ...]:
    """A note where intervals are over few prompts; none where there are enough."""
    if prompts >= MIN_PROMPTS:
        return ()
    return (
        f"Measured on {prompts} prompts: intervals over fewer than {MIN_PROMPTS} are too narrow, "
        "and say little of other prompts.",
    )
