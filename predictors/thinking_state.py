"""The state of a run over thoughts: how far their votes settle the answer, and what they cost."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predictors.branches import Branch, BranchScoring
from predictors.vote_state import overtaken

# `leader` and `rival` are the votes of the two leading answers, `squares` the sum of squared votes,
# `tokens` those of all thoughts, their probes and answers, `unfinished` the thoughts that have not
# ended. Direct answers count as thoughts that have ended.
STATE_NAMES = ("samples", "leader", "rival", "votes", "squares", "tokens", "unfinished")
PROBE_TOKENS = 20  # of a forced answer: the end of the thought, and a short answer
MIN_LEADER = 1e-3  # votes of a leader are taken to be at least this before their logarithm
MIN_OVERTAKEN = 1e-6
BASE = 3  # columns that every gain depends on


def probed_tokens(
    depth: NDArray[np.float64], probes: Sequence[int], each: int = PROBE_TOKENS
) -> NDArray[np.float64]:
    """Tokens of thoughts of some depths, with their probes.

    Args:
        depth: thinking tokens, any shape.
        probes: ascending depths at which each thought is probed.
        each: tokens of a probe.
    """
    count = np.searchsorted(np.asarray(probes, dtype=float), depth, side="right")
    return np.asarray(depth + each * count)


def tally(branches: Sequence[Branch], scoring: BranchScoring) -> dict[str, float]:
    """The summed votes of each answer, in the order in which answers occurred."""
    sums: dict[str, float] = {}
    for branch, vote in zip(branches, scoring.votes_of(branches).tolist(), strict=True):
        if branch.answer is not None:
            sums[branch.answer] = sums.get(branch.answer, 0.0) + vote
    return sums


def state_of(
    branches: Sequence[Branch],
    scoring: BranchScoring,
    probes: Sequence[int],
    probe_tokens: int = PROBE_TOKENS,
    answer_tokens: float = 0.0,
) -> NDArray[np.float64]:
    """The state of one run, shape (len(STATE_NAMES),).

    Args:
        branches: its thoughts and direct answers.
        scoring: how they vote.
        probes: depths at which each thought is probed.
        probe_tokens: tokens of a probe.
        answer_tokens: tokens of the answer after a thought that has ended by itself.
    """
    votes = scoring.votes_of(branches)
    leading = sorted(tally(branches, scoring).values(), reverse=True)
    leader, rival = (*leading, 0.0, 0.0)[:2]
    depths = np.array([branch.depth for branch in branches], dtype=float)
    direct = np.array([branch.state == "direct" for branch in branches])
    # Where a thought has not ended an answer is forced, whether or not there are probes before it.
    forced = np.array([b.unfinished and b.depth not in probes for b in branches])
    tokens = probed_tokens(depths, probes, probe_tokens) + probe_tokens * forced
    ended = np.array([branch.state == "finished" for branch in branches])
    tokens = np.where(direct, depths, tokens + answer_tokens * ended)
    return np.array(
        [
            len(branches),
            leader,
            rival,
            votes.sum(),
            (votes**2).sum(),
            tokens.sum(),
            sum(branch.unfinished for branch in branches),
        ]
    )


def gain_columns(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the gain of more thought depends on, shape (..., 5).

    A constant; the logarithm of the chance that the leader is overtaken, if thoughts go on to vote
    as they do; the logarithm of the leader's votes, which are few where the question is too hard;
    then the share of unfinished thoughts, and the logarithm of the number of thoughts. The first
    `BASE` columns are those of more samples, all of them those of more depth.

    Args:
        states: shape (..., len(STATE_NAMES)).
    """
    samples, leader, rival, votes, squares, _, unfinished = np.moveaxis(states, -1, 0)
    # Votes of unequal weight count as fewer votes of equal weight (Kish).
    scale = np.where(squares > 0, votes / np.where(squares > 0, squares, 1.0), 0.0)
    lost = overtaken(leader * scale, rival * scale)
    return np.stack(
        [
            np.ones(samples.shape),
            np.log(np.maximum(lost, MIN_OVERTAKEN)),
            np.log(np.maximum(leader, MIN_LEADER)),
            unfinished / samples,
            np.log(samples),
        ],
        axis=-1,
    )
