"""Climbs: how a prompt's answer comes about, stage by stage, replayed on what was sampled."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Schedule
from predictors.sample import Sample
from predictors.vote_state import VOTE_STATE_NAMES, VoteState

# (answer, score, tokens) of one solution; equal answers are equal strings.
Draw = tuple[str | None, float, int]


@dataclass(frozen=True)
class AdaptiveRuns:
    """Climbs of many prompts to the top of a schedule, several of each prompt.

    Attributes:
        states: features on each stage, shape (prompts, replicates, stages, features).
        correct: whether the leading answer is right, shape (prompts, replicates, stages).
        tokens: tokens sampled by then, likewise.
    """

    states: NDArray[np.float64]
    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]

    @classmethod
    def empty(cls, prompts: int, replicates: int, stages: int) -> "AdaptiveRuns":
        """Arrays to be filled."""
        shape = (prompts, replicates, stages)
        return cls(np.zeros((*shape, len(VOTE_STATE_NAMES))), np.zeros(shape), np.zeros(shape))


def draws_of(samples: Iterable[Sample]) -> list[Draw]:
    """What of samples a climb looks at."""
    return [(sample.answer, sample.score, sample.tokens) for sample in samples]


def adaptive_run(
    adaptive_runs: AdaptiveRuns,
    place: tuple[int, int],
    schedule: Schedule,
    prompt_tokens: int,
    gold: str,
    drawn: list[Draw],
    searched: list[Draw],
    search_tokens: int,
) -> None:
    """Climb one prompt once, and note it down.

    Args:
        adaptive_runs: where it is noted.
        place: prompt and replicate there.
        schedule: the schedule.
        prompt_tokens: length of the prompt.
        gold: the right answer.
        drawn: independent solutions, as many as the top stage holds.
        searched: solutions of the schedule's search; none where it has none.
        search_tokens: tokens that the search sampled.
    """
    votes = VoteState(prompt_tokens)
    count, tokens, begun = 0, 0, False
    for number, stage in enumerate(schedule.stages):
        if stage.search is not None and not begun:
            begun = True
            tokens += search_tokens
            for answer, score, _ in searched:
                votes.add(answer, score)
        for answer, score, length in drawn[count : stage.samples]:
            tokens += length
            votes.add(answer, score)
        count = stage.samples
        adaptive_runs.states[*place, number] = votes.features()
        adaptive_runs.correct[*place, number] = votes.leader == gold
        adaptive_runs.tokens[*place, number] = tokens
