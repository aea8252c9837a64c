"""Results of each contender, and how this library compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.contenders import ACROSS, OPTIMAL, OURS, Contender
from benchmarks.targets import at_least, bootstrapped
from calibration.report.targets import Interval, Target

HEADS = ("", "N", "accuracy [95%]", "generations", "tokens", "seconds")


@dataclass(frozen=True)
class Turn:
    """One run of a contender over all prompts at a budget.

    Attributes:
        correct: whether each prompt was answered right.
        generations: solutions that each prompt took.
        tokens: tokens that the server sampled during the run.
        seconds: wall time.
    """

    correct: list[bool]
    generations: list[int]
    tokens: int
    seconds: float


Turns = Mapping[tuple[Contender, int], Sequence[Turn]]


def rights(turns: Sequence[Turn]) -> NDArray[np.int64]:
    """Number of turns in which each prompt was answered right, shape (prompts,).

    Counts, for differences of shares are 2e-18 where there is none.
    """
    return np.asarray(np.sum([turn.correct for turn in turns], axis=0, dtype=np.int64))


def share(counts: NDArray[np.int64], turns: int) -> Interval:
    """The mean of counts over prompts, as a share of the turns, with its interval."""
    value, low, high = bootstrapped(counts)
    return value / turns, low / turns, high / turns


def rows_of(turns: Turns) -> list[dict[str, Any]]:
    """One row per contender and budget, for the table and the JSON."""
    rows = []
    for (contender, budget), done in turns.items():
        value, low, high = share(rights(done), len(done))
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


def cells_of(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The rows as tables show them under `HEADS`, by budget."""
    return [
        (
            f"{row['library']}: {row['method']}",
            str(row["budget"]),
            f"{row['accuracy']:.1%} [{row['low']:.0%}, {row['high']:.0%}]",
            f"{row['generations']:.1f}",
            f"{row['tokens']:.0f}",
            f"{row['seconds']:.1f}",
        )
        for row in sorted(rows, key=lambda row: row["budget"])
    ]


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
            less = rights(own[method, budget]) - rights(done)
            name = f"N = {budget}: accuracy of {method} minus that of {peer}"
            targets.append(at_least(name, share(less, len(done)), 0))
        pairs = zip(done, own[peer.like, budget], strict=True)
        times = np.array([theirs.seconds / ours.seconds for theirs, ours in pairs])
        name = f"N = {budget}: seconds of {peer} over those of our {peer.like}"
        targets.append(at_least(name, bootstrapped(times), 1))
    return targets
