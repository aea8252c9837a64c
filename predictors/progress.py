"""How far a prompt's answer is settled: what its solutions so far say, kept up sample by sample."""

from math import log2

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

PROGRESS_NAMES = (
    "samples",
    "leader_share",
    "leader_margin",
    "leader_mass",
    "leader_best_score",
    "other_best_score",
    "leader_votes_share",
    "other_votes_share",
    "distinct_share",
    "settled",
    "score_mean",
    "unanswered_share",
    "tokens_mean",
    "prompt_tokens",
)
# What models compute depends, in its last digits, on what they compute beside it.
DECIMALS = 3


def settled(leader: float, other: float) -> float:
    """How likely the leading answer is to stay ahead of its rival: adaptive consistency's rule.

    The chance that more than half of their votes are for the leader, under a uniform prior (Beta
    posterior; Aggarwal et al. 2023). Votes may be weighted.

    Args:
        leader: votes for the leading answer.
        other: votes for the next.
    """
    return float(betainc(other + 1, leader + 1, 0.5))


class Progress:
    """The answers of one prompt so far.

    Args:
        prompt_tokens: length of the prompt.

    Attributes:
        leader: the answer that best-of-N weighted would choose now; None while there is none.
    """

    def __init__(self, prompt_tokens: int) -> None:
        self.leader: str | None = None
        self._prompt_tokens = prompt_tokens
        self._mass: dict[str, float] = {}
        self._votes: dict[str, int] = {}
        self._best: dict[str, float] = {}
        self._samples = self._unanswered = self._tokens = 0
        self._scores = 0.0

    def add(self, answer: str | None, score: float, tokens: int) -> None:
        """One more solution; equal answers must be equal strings."""
        self._samples += 1
        self._tokens += tokens
        self._scores += score
        if answer is None:
            self._unanswered += 1
            return
        self._mass[answer] = self._mass.get(answer, 0.0) + score
        self._votes[answer] = self._votes.get(answer, 0) + 1
        self._best[answer] = max(self._best.get(answer, 0.0), score)
        # Masses only grow: no other answer can have come to lead.
        if self.leader is None or self._rank(answer) > self._rank(self.leader):
            self.leader = answer

    def _rank(self, answer: str) -> tuple[float, float]:
        return self._mass[answer], self._best[answer]

    def features(self) -> NDArray[np.float64]:
        """Shape (len(PROGRESS_NAMES),).

        Raises:
            ZeroDivisionError: nothing was added yet.
        """
        others = [answer for answer in self._mass if answer != self.leader]
        other = max(others, key=lambda answer: self._mass[answer], default=None)
        masses, count = sum(self._mass.values()), self._samples

        def of(values: dict[str, float] | dict[str, int], answer: str | None) -> float:
            return 0.0 if answer is None else float(values[answer])

        lead, rival = of(self._mass, self.leader), of(self._mass, other)
        votes, rival_votes = of(self._votes, self.leader), of(self._votes, other)
        values = (
            log2(count),
            lead / max(masses, 1e-9),
            (lead - rival) / max(masses, 1e-9),
            lead,
            of(self._best, self.leader),
            of(self._best, other),
            votes / count,
            rival_votes / count,
            len(self._mass) / count,
            settled(votes, rival_votes),
            self._scores / count,
            self._unanswered / count,
            self._tokens / count,
            self._prompt_tokens,
        )
        return np.round(np.array(values, dtype=float), DECIMALS)
