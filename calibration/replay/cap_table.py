"""What each cap on thinking tokens leads to, with as many thoughts for every question."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.schema import Schema
from calibration.data.thoughts import Capped
from calibration.replay.thinking_run import thinking_runs

SIZES = (1, 2, 4, 8, 16, 32, 64)


class CapRow(Schema):
    """One cap and one number of thoughts.

    Attributes:
        cap: thinking tokens; None for no cap.
        samples: thoughts per question.
        tokens: tokens per question, answers included, without probes before the cap.
        majority: accuracy of the most frequent answer.
        weighted: accuracy where votes weigh the odds of being correct, fitted on other questions,
            likewise without probes.
    """

    cap: int | None
    samples: int
    tokens: float
    majority: float
    weighted: float


def cap_table(
    caps: Sequence[int | None],
    capped: Sequence[Capped],
    votes: Sequence[NDArray[np.float64]],
    shuffles: int,
    n_jobs: int | None = -1,
) -> list[CapRow]:
    """Accuracy and tokens of every cap.

    Args:
        caps: thinking tokens of each cap.
        capped: the thoughts under each, not probed before it.
        votes: their votes, fitted without those probes too, one array of shape (questions, samples)
            per cap.
        shuffles: orders of a question's samples.
        n_jobs: see `calibration.replay.parallel`.
    """
    sizes = [size for size in SIZES if size <= capped[0].answer.shape[1]]
    ones = [np.ones(vote.shape) for vote in votes]
    counted = thinking_runs(capped, ones, sizes, shuffles, n_jobs).correct.mean(axis=(0, 1))
    weighed = thinking_runs(capped, votes, sizes, shuffles, n_jobs).correct.mean(axis=(0, 1))
    return [
        CapRow(
            cap=cap,
            samples=size,
            tokens=float(size * under.cost.mean()),
            majority=min(1.0, float(counted[i, j])),
            weighted=min(1.0, float(weighed[i, j])),
        )
        for i, (cap, under) in enumerate(zip(caps, capped, strict=True))
        for j, size in enumerate(sizes)
    ]
