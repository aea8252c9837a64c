"""Logged thoughts, invented here."""

import numpy as np

from calibration.data.thoughts import Thoughts

EVERY, PROBES = 10, 8


def made_thoughts(questions: int, samples: int, seed: int = 0) -> Thoughts:
    """Thoughts of 5 to 100 tokens, probed every 10.

    A thought of an easy question finds the right answer at some depth and stays with it. Thoughts
    that never find it go on longer, and change between wrong answers.
    """
    rng = np.random.default_rng(seed)
    shape = (questions, samples)
    right = rng.random(shape) < rng.beta(1, 1, questions)[:, None]
    tokens = np.where(right, rng.integers(5, 60, shape), rng.integers(20, 101, shape)).astype(float)
    wrong = rng.integers(1, 6, (*shape, PROBES + 1))
    found = rng.random(shape) * tokens
    depths = EVERY * np.arange(1, PROBES + 1)
    settled = right[..., None] & (depths >= found[..., None])
    forced = np.where(settled, 0, wrong[..., 1:])
    forced[rng.random(forced.shape) < 0.1] = -1
    return Thoughts(np.where(right, 0, wrong[..., 0]), tokens, depths, forced)
