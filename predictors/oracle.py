"""Oracle difficulty: pass@1 measured on many graded samples of a prompt (section 3.2)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.errors import InputError


def oracle_pass_at_1(correct: ArrayLike) -> NDArray[np.float64]:
    """The share of correct samples of each prompt.

    Args:
        correct: booleans, shape (prompts, samples).

    Returns:
        pass@1, shape (prompts,).

    Raises:
        InputError: not a table with at least one sample per prompt.
    """
    graded = np.asarray(correct, dtype=float)
    if graded.ndim != 2 or graded.shape[1] == 0:
        raise InputError("correct", graded.shape, "must be one row of graded samples per prompt")
    return np.asarray(graded.mean(axis=1))
