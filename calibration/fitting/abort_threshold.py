"""The confidence below which solutions are ended: those that are hardly ever right."""

from collections.abc import Sequence

import numpy as np

from calibration.sampling.collect import PromptRecord
from predictors.confidence import DECIMALS, ConfidenceSettings
from predictors.scoring import Scoring

# Of the right solutions, those that may be ended; of the wrong ones, those that must be for it to
# be worth the while.
RIGHT_ENDED, WRONG_ENDED = 0.02, 0.05


def fit_confidence(
    records: Sequence[PromptRecord], confidence: ConfidenceSettings, scoring: Scoring
) -> ConfidenceSettings | None:
    """How confidence is to be read from now on; None where it is of no use.

    Args:
        records: independent solutions whose confidence was read.
        confidence: how it was read.
        scoring: how solutions are scored.
    """
    fitted = abort_threshold(records, confidence)
    return fitted if fitted.threshold is not None or scoring.confidence else None


def abort_threshold(
    records: Sequence[PromptRecord], confidence: ConfidenceSettings
) -> ConfidenceSettings:
    """The settings with the largest threshold that ends at most 2% of the right solutions.

    There is none where it would end fewer than 5% of the wrong ones, or where no right solution is
    as long as the window. What it saves is counted from the lowest window on, and a solution ends
    at the first that is low enough: it is the least that is saved.

    Args:
        records: independent solutions whose confidence was read.
        confidence: how it was read.
    """
    runs = [record.independent for record in records]
    samples = [sample for run in runs for sample in run.samples]
    right = np.array([correct for run in runs for correct in run.correct])
    # Solutions shorter than a window are never ended.
    lowest = np.array([np.inf if s.confidence_at is None else s.confidence for s in samples])
    of_right = np.sort(lowest[right & np.isfinite(lowest)])
    if not len(of_right):
        return confidence
    allowed = min(int(RIGHT_ENDED * right.sum()), len(of_right) - 1)
    threshold = float(np.floor(of_right[allowed] * 10**DECIMALS) / 10**DECIMALS)
    ended = lowest < threshold
    if not ended[~right].any() or ended[~right].mean() < WRONG_ENDED:
        return confidence
    tokens = np.array([sample.tokens for sample in samples])
    until = np.array([sample.confidence_at or sample.tokens for sample in samples])
    saved = float((tokens - until)[ended].sum() / tokens.sum())
    return confidence.model_copy(update={"threshold": threshold, "saved": saved})
