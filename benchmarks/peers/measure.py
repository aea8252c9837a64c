"""What each contender did, and how this library's compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.contenders import ACROSS, OPTIMAL, OURS, Contender
from calibration.curves import interval
from calibration.targets import Interval, Target, at_least

DRAWS = 2000


@dataclass(frozen=True)
class Turn:
    """One run of a contender over all prompts at a budget.

    Attributes:
        correct: of each prompt.
        generations: solutions that each prompt took.
        tokens: that the server sampled meanwhile.
        seconds: wall time.
    """

    correct: list[bool]
    generations: list[int]
    tokens: int
    seconds: float


Turns = Mapping[tuple[Contender, int], Sequence[Turn]]


def accuracies(turns: Sequence[Turn]) -> NDArray[np.float64]:
    """How often each prompt was answered right, shape (prompts,)."""
    of_turns: NDArray[np.float64] = np.array([turn.correct for turn in turns], dtype=float)
    return np.asarray(of_turns.mean(axis=0))


def over_draws(values: NDArray[np.float64]) -> Interval:
    """The mean of one value a prompt, or a turn, with its 95% bootstrap interval."""
    draws = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    return interval(np.array([values.mean(), *values[draws].mean(axis=1)]))


def rows_of(turns: Turns) -> list[dict[str, Any]]:
    """A row a contender and budget, as the table and the JSON have them."""
    rows = []
    for (contender, budget), done in turns.items():
        value, low, high = over_draws(accuracies(done))
        rows.append(
            {
                "library": contender.library,
                "method": contender.method,
                "budget": budget,
                "accuracy": value,
                "low": low,
                "high": high,
                "generations": float(np.mean([turn.generations for turn in done])),
                "tokens": float(np.mean([turn.tokens for turn in done])) / len(done[0].correct),
                "seconds": float(np.mean([turn.seconds for turn in done])),
            }
        )
    return rows


def targets_of(turns: Turns) -> list[Target]:
    """Against each peer at each budget: our accuracy less theirs, their time over ours.

    Accuracy is that of our compute-optimal plans, and of one total shared out over the prompts;
    time that of our method of the same strategy.
    """
    own = {(c.method, budget): done for (c, budget), done in turns.items() if c.library == OURS}
    targets = []
    for (peer, budget), done in turns.items():
        if peer.library == OURS:
            continue
        for method in (OPTIMAL, ACROSS):
            less = accuracies(own[method, budget]) - accuracies(done)
            name = f"N = {budget}: accuracy of {method} less that of {peer}"
            targets.append(at_least(name, over_draws(less), 0))
        pairs = zip(done, own[peer.like, budget], strict=True)
        times = np.array([theirs.seconds / ours.seconds for theirs, ours in pairs])
        name = f"N = {budget}: seconds of {peer} over those of our {peer.like}"
        targets.append(at_least(name, over_draws(times), 1))
    return targets
