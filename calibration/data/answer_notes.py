"""Notes on answers of a log that may count as wrong for how they are written."""

import numpy as np
from numpy.typing import NDArray

from calibration.data.answer_codes import UNANSWERED

# Thoughts from which on their last forced answers are compared with the final ones, and the share
# of equal ones below which these seem to be written in another way.
THOUGHTS, HARDLY_EVER = 20, 0.1


def forced_notes(
    answer: NDArray[np.int64], forced: NDArray[np.int64], cut: NDArray[np.bool_]
) -> list[str]:
    """A note where the last forced answers of thoughts that ended hardly ever equal the final ones.

    Args:
        answer: the number of each sample's answer, shape (samples,).
        forced: those of its forced answers, shape (samples, depths).
        cut: whether each thought was cut off, shape (samples,).
    """
    given = forced != UNANSWERED
    ended = ~cut & (answer != UNANSWERED) & given.any(axis=1)
    if ended.sum() < THOUGHTS:
        return []
    last = forced.shape[1] - 1 - given[ended][:, ::-1].argmax(axis=1)
    equal = int((np.take_along_axis(forced[ended], last[:, None], 1)[:, 0] == answer[ended]).sum())
    if equal >= HARDLY_EVER * ended.sum():
        return []
    return [
        f"of {ended.sum()} thoughts that ended, the last forced answer equals the final one in "
        f"{equal}: look at how both are written. --answers math reads answers out of sentences"
    ]
