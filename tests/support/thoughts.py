"""Logged thoughts, invented here."""

from dataclasses import replace

import numpy as np

from calibration.data.thoughts import DirectAnswers, Thoughts

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


def with_direct_answers(thoughts: Thoughts, count: int, seed: int = 0) -> Thoughts:
    """The same thoughts, and answers of 3 to 9 tokens without one.

    They are right half as often as the question's thoughts are, and more probable where they are.
    """
    rng = np.random.default_rng(seed)
    shape = len(thoughts.answer), count
    right = rng.random(shape) < (thoughts.answer == 0).mean(axis=1, keepdims=True) / 2
    answer = np.where(right, 0, rng.integers(1, 6, shape))
    tokens = rng.integers(3, 10, shape).astype(float)
    nll = rng.gamma(np.where(right, 2.0, 8.0))
    return replace(thoughts, direct=DirectAnswers(answer, tokens, nll))
