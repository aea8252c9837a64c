"""Climbs: how a prompt's answer comes about, rung by rung, replayed on what was sampled."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Ladder
from predictors.sample import Sample
from predictors.vote_state import PROGRESS_NAMES, Progress

# (answer, score, tokens) of one solution; equal answers are equal strings.
Draw = tuple[str | None, float, int]


@dataclass(frozen=True)
class Climbs:
    """Climbs of many prompts to the top of a ladder, several of each prompt.

    Attributes:
        states: features on each rung, shape (prompts, replicates, rungs, features).
        correct: whether the leading answer is right, shape (prompts, replicates, rungs).
        tokens: tokens sampled by then, likewise.
    """

    states: NDArray[np.float64]
    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]

    @classmethod
    def empty(cls, prompts: int, replicates: int, rungs: int) -> "Climbs":
        """Arrays to be filled."""
        shape = (prompts, replicates, rungs)
        return cls(np.zeros((*shape, len(PROGRESS_NAMES))), np.zeros(shape), np.zeros(shape))


def draws_of(samples: Iterable[Sample]) -> list[Draw]:
    """What of samples a climb looks at."""
    return [(sample.answer, sample.score, sample.tokens) for sample in samples]


def climb(
    climbs: Climbs,
    place: tuple[int, int],
    ladder: Ladder,
    prompt_tokens: int,
    gold: str,
    drawn: list[Draw],
    searched: list[Draw],
    search_tokens: int,
) -> None:
    """Climb one prompt once, and note it down.

    Args:
        climbs: where it is noted.
        place: prompt and replicate there.
        ladder: the ladder.
        prompt_tokens: length of the prompt.
        gold: the right answer.
        drawn: independent solutions, as many as the top rung holds.
        searched: solutions of the ladder's search; none where it has none.
        search_tokens: tokens that the search sampled.
    """
    progress = Progress(prompt_tokens)
    count, tokens, begun = 0, 0, False
    for number, rung in enumerate(ladder.rungs):
        if rung.search is not None and not begun:
            begun = True
            tokens += search_tokens
            for answer, score, _ in searched:
                progress.add(answer, score)
        for answer, score, length in drawn[count : rung.samples]:
            tokens += length
            progress.add(answer, score)
        count = rung.samples
        climbs.states[*place, number] = progress.features()
        climbs.correct[*place, number] = progress.leader == gold
        climbs.tokens[*place, number] = tokens
