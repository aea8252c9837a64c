"""Adaptive runs replayed on stored samples: the vote's state at every stage of a schedule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from allocator.schedule import Schedule
from predictors.sample import Sample
from predictors.vote_state import VOTE_STATE_NAMES, VoteState

# (answer, score, tokens) of one solution; equal answers are equal strings.
Draw = tuple[str | None, float, int]


@dataclass(frozen=True)
class AdaptiveRuns:
    """Adaptive runs of many prompts through all stages of a schedule, several per prompt.

    Attributes:
        states: the vote's features at each stage, shape (prompts, replicates, stages, features).
        correct: whether the leading answer is right, shape (prompts, replicates, stages).
        tokens: tokens sampled up to the stage, likewise.
        flops: FLOPs up to the stage, likewise; all 0 where the models' sizes are unknown.
    """

    states: NDArray[np.float64]
    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]

    @classmethod
    def empty(cls, prompts: int, replicates: int, stages: int) -> "AdaptiveRuns":
        """Arrays of zeros, to be filled by `replay_run`, except for the FLOPs."""
        shape = (prompts, replicates, stages)
        states = np.zeros((*shape, len(VOTE_STATE_NAMES)))
        return cls(states, np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def take(self, prompts: NDArray[np.int64]) -> "AdaptiveRuns":
        """The adaptive runs of some of the prompts, in the order given."""
        return AdaptiveRuns(
            self.states[prompts], self.correct[prompts], self.tokens[prompts], self.flops[prompts]
        )


def joined(parts: Sequence[AdaptiveRuns]) -> AdaptiveRuns:
    """The adaptive runs of several parts of the prompts, in order."""
    return AdaptiveRuns(
        np.concatenate([part.states for part in parts]),
        np.concatenate([part.correct for part in parts]),
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.flops for part in parts]),
    )


def draws_of(samples: Iterable[Sample]) -> list[Draw]:
    """What an adaptive run reads of samples."""
    return [(sample.answer, sample.score, sample.tokens) for sample in samples]


@dataclass(frozen=True)
class Searched:
    """A search's run: its solutions, and all tokens that it sampled."""

    draws: Sequence[Draw]
    tokens: int


def replay_run(
    adaptive_runs: AdaptiveRuns,
    place: tuple[int, int],
    schedule: Schedule,
    prompt_tokens: int,
    gold: str,
    drawn: Sequence[Draw],
    searches: Mapping[Plan, Searched],
) -> None:
    """Replay one prompt through all stages, as `runtime.solving.adaptive_run` serves it.

    Args:
        adaptive_runs: where the result is stored.
        place: index of the prompt and the replicate there.
        schedule: the schedule.
        prompt_tokens: length of the prompt in tokens.
        gold: the right answer.
        drawn: independent solutions, as many as the last stage holds.
        searches: what each of the schedule's searches found.
    """
    votes, tokens = VoteState(prompt_tokens), 0
    for number in range(len(schedule.stages)):
        added = schedule.added(number)
        independent = drawn[added.first : added.last]
        found = [searches[search] for search in added.searches]
        fresh = [*independent, *(draw for run in found for draw in run.draws)]
        votes.extend((answer, score) for answer, score, _ in fresh)
        tokens += sum(length for _, _, length in independent)
        tokens += sum(run.tokens for run in found)
        adaptive_runs.states[*place, number] = votes.features()
        adaptive_runs.correct[*place, number] = votes.leader == gold
        adaptive_runs.tokens[*place, number] = tokens
