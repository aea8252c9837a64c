"""Choosing one answer among scored samples (section 5.1)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from allocator.errors import InputError
from predictors.sample import Sample

Selection = Literal["weighted", "best", "majority"]


def select(samples: Sequence[Sample], how: Selection = "weighted") -> Sample:
    """The chosen sample: of the winning answer's samples, the one with the greatest score.

    Args:
        samples: scored samples of one prompt; equal answers must be equal strings.
        how: ``weighted`` sums the scores of all samples with the same answer (best-of-N
            weighted), ``best`` takes the greatest single score, ``majority`` counts samples.
            Samples without an answer lose to any that has one. Ties go to the greater score,
            then to the earlier sample.

    Raises:
        InputError: no samples, or an unknown way of selection.
    """
    if not samples:
        raise InputError("samples", 0, "selection needs at least one sample")
    if how not in ("weighted", "best", "majority"):
        raise InputError("selection", how, "choose weighted, best or majority")
    answered = [s for s in samples if s.answer is not None] or list(samples)
    scores = np.array([s.score for s in answered])
    if how == "best":
        return answered[int(scores.argmax())]
    weights = scores if how == "weighted" else np.ones(len(answered))
    mass: dict[str | None, float] = {}
    for sample, weight in zip(answered, weights, strict=True):
        mass[sample.answer] = mass.get(sample.answer, 0.0) + float(weight)
    ranks = [(mass[s.answer], s.score) for s in answered]
    return answered[max(range(len(answered)), key=lambda i: (*ranks[i], -i))]
