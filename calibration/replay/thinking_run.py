"""Runs over logged thoughts: the state at every stage under every cap, and where a price ends them.

The policy that decides is the one that serving follows: `predictors.thinking_policy`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.data.thoughts import Capped, DirectAnswers
from calibration.replay.parallel import in_threads
from predictors.thinking_policy import Action, Outlook, ThinkingPolicy
from predictors.thinking_state import STATE_NAMES

TOKENS = STATE_NAMES.index("tokens")
UNFINISHED = STATE_NAMES.index("unfinished")
TIE = 1e-9  # votes closer than this share of the leader's tie


@dataclass(frozen=True)
class ThinkingRuns:
    """Runs of many questions through all stages under each cap, several shuffles per question.

    Deepening goes on from a thought's own tokens. So a run that was deepened has the state of one
    that had the higher cap from the start. It costs as much and the answers that were forced at the
    lower cap, see `Outlook.dropped`.

    Attributes:
        states: shape (questions, shuffles, caps, stages, len(STATE_NAMES)).
        correct: the chance that the leading answer is right, if ties are broken at random,
            shape (questions, shuffles, caps, stages).
    """

    states: NDArray[np.float64]
    correct: NDArray[np.float64]

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Tokens spent, shape (questions, shuffles, caps, stages)."""
        return self.states[..., TOKENS]

    def take(self, questions: NDArray[np.int64]) -> "ThinkingRuns":
        """The runs of some questions, by their indices."""
        return ThinkingRuns(self.states[questions], self.correct[questions])

    def under(self, caps: Sequence[int]) -> "ThinkingRuns":
        """The runs under some of the caps, by their numbers."""
        return ThinkingRuns(self.states[:, :, list(caps)], self.correct[:, :, list(caps)])


@dataclass(frozen=True)
class Lead:
    """Direct answers with which every run begins.

    Attributes:
        direct: answers to draw from.
        votes: what each one weighs, shape (questions, answers).
        count: how many a run begins with.
    """

    direct: DirectAnswers
    votes: NDArray[np.float64]
    count: int


def thinking_runs(
    capped: Sequence[Capped],
    votes: Sequence[NDArray[np.float64]],
    stages: Sequence[int],
    shuffles: int,
    n_jobs: int | None = -1,
    lead: Lead | None = None,
) -> ThinkingRuns:
    """Replay every question through all stages under each cap.

    Args:
        capped: the thoughts under each cap.
        votes: their votes, one array of shape (questions, samples) per cap.
        stages: thoughts in all at each stage; direct answers count.
        shuffles: orders of a question's samples, drawn at random; the same under every cap.
        n_jobs: see `calibration.replay.parallel`.
        lead: direct answers before the thoughts; None for none.
    """
    if lead is not None:
        capped = [under.after(lead.direct) for under in capped]
        votes = [np.hstack([lead.votes, vote]) for vote in votes]

    def question(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        samples, rng = capped[0].answer.shape[1], np.random.default_rng(number)
        if lead is None:
            order = _orders(rng, 0, samples, shuffles)
        else:
            first = lead.direct.answer.shape[1]
            thoughts = _orders(rng, first, samples, shuffles)
            order = np.hstack([_orders(rng, 0, first, shuffles)[:, : lead.count], thoughts])
        order = order[:, : stages[-1]]
        found = [
            _replayed(under.take(np.array([number])), vote[number], order, stages)
            for under, vote in zip(capped, votes, strict=True)
        ]
        return np.stack([s for s, _ in found], axis=1), np.stack([c for _, c in found], axis=1)

    parts = in_threads(question, range(len(capped[0].answer)), n_jobs)
    return ThinkingRuns(np.stack([s for s, _ in parts]), np.stack([c for _, c in parts]))


def _orders(rng: np.random.Generator, low: int, high: int, count: int) -> NDArray[np.int64]:
    """Orders of the numbers from `low` to `high`, at random, shape (count, high - low)."""
    return rng.permuted(np.tile(np.arange(low, high), (count, 1)), axis=1)


def _replayed(
    thoughts: Capped,
    votes: NDArray[np.float64],
    order: NDArray[np.int64],
    stages: Sequence[int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """States and chances of being right of one question, in the given orders of its samples.

    Returns:
        Shapes (shuffles, stages, len(STATE_NAMES)) and (shuffles, stages).
    """
    at = np.asarray(stages) - 1
    # Votes of each answer: the correct one, which has number 0, is the first column.
    names, answer = np.unique(np.append(thoughts.answer[0], 0), return_inverse=True)
    answer, right = answer[:-1], int(np.searchsorted(names, 0))
    voting = np.where(thoughts.answer[0] >= 0, votes, 0.0)
    sums = np.zeros((*order.shape, max(len(names), 2)))
    shuffle, place = np.indices(order.shape)
    sums[shuffle, place, answer[order]] = voting[order]
    sums = np.cumsum(sums, axis=1)[:, at]
    rival, leader = np.moveaxis(np.partition(sums, -2, axis=-1)[..., -2:], -1, 0)
    tied = sums >= leader[..., None] * (1 - TIE)
    chance = np.where(leader > 0, tied[..., right] / tied.sum(axis=-1), 0.0)

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.cumsum(values[order], axis=1)[:, at]

    states = [
        np.broadcast_to(np.asarray(stages, dtype=float), leader.shape),
        leader,
        rival,
        summed(voting),
        summed(voting**2),
        summed(thoughts.cost[0]),
        summed((~thoughts.finished[0]).astype(float)),
    ]
    return np.stack(states, axis=-1), chance


def outlooks(policy: ThinkingPolicy, runs: ThinkingRuns) -> list[list[Outlook]]:
    """What each choice gains and costs at each cap and stage, for runs of shape (q, shuffles)."""
    return [
        [policy.outlook(cap, stage, states[:, :, stage]) for stage in range(states.shape[2])]
        for cap, states in enumerate(np.moveaxis(runs.states, 2, 0))
    ]


def ends_at(
    known: Sequence[Sequence[Outlook]], prices: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The cap and the stage, by their numbers, at which each run ends at each price.

    Returns:
        Three arrays of shape (prices, questions, shuffles); the third one has the tokens of forced
        answers that were dropped on the way.
    """
    each = np.array(prices)[:, None, None]
    actions = np.array([[outlook.actions(each) for outlook in row] for row in known])
    dropping = np.array([[outlook.dropped for outlook in row] for row in known])
    price, question, shuffle = np.indices(actions.shape[2:])
    cap, stage = np.zeros_like(question), np.zeros_like(question)
    dropped = np.zeros(question.shape)
    while True:
        chosen = actions[cap, stage, price, question, shuffle]
        if not chosen.any():
            return cap, stage, dropped
        deepened = chosen == Action.DEEPEN
        dropped = dropped + deepened * dropping[cap, stage, question, shuffle]
        stage = stage + (chosen == Action.SAMPLE)
        cap = cap + deepened


def spent(
    runs: ThinkingRuns, ends: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Chance of being right, thoughts and tokens of each run where it ends.

    Returns:
        Three arrays of shape (prices, questions, shuffles).
    """
    cap, stage, dropped = ends
    _, question, shuffle = np.indices(cap.shape)
    state = runs.states[question, shuffle, cap, stage]
    return runs.correct[question, shuffle, cap, stage], state[..., 0], state[..., TOKENS] + dropped
