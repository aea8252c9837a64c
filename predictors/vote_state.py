"""How far a prompt's answer is settled: what its solutions so far say, kept up sample by sample."""

import numpy as np
from numpy.typing import NDArray

VOTE_STATE_NAMES = (
    "samples",
    "leader_mass",
    "other_mass",
    "leader_best_score",
    "other_best_score",
    "score_mean",
    "distinct_share",
    "unanswered_share",
    "prompt_tokens",
)
# What models compute depends, in its last digits, on what they compute beside it.
DECIMALS = 3


class VoteState:
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
        # Of each answer the greatest score, and less the number of the sample that had it first.
        self._best: dict[str, tuple[float, int]] = {}
        self._samples = self._unanswered = 0
        self._scores = 0.0

    def add(self, answer: str | None, score: float) -> None:
        """One more solution; equal answers must be equal strings."""
        self._samples += 1
        self._scores += score
        if answer is None:
            self._unanswered += 1
            return
        self._mass[answer] = self._mass.get(answer, 0.0) + score
        drawn = (score, -self._samples)
        self._best[answer] = max(self._best.get(answer, drawn), drawn)
        # Ranks only grow: no other answer can have come to lead.
        if self.leader is None or self._rank(answer) > self._rank(self.leader):
            self.leader = answer

    def _rank(self, answer: str) -> tuple[float, float, int]:
        """As `runtime.answers.selection.select` decides: ties go to the earlier sample."""
        return self._mass[answer], *self._best[answer]

    def features(self) -> NDArray[np.float64]:
        """Shape (len(PROGRESS_NAMES),).

        Raises:
            ZeroDivisionError: nothing was added yet.
        """
        others = [answer for answer in self._mass if answer != self.leader]
        other = max(others, key=self._rank, default=None)
        lead, best, _ = (0.0, 0.0, 0) if self.leader is None else self._rank(self.leader)
        rival, rival_best, _ = (0.0, 0.0, 0) if other is None else self._rank(other)
        values = (
            self._samples,
            lead,
            rival,
            best,
            rival_best,
            self._scores / self._samples,
            len(self._mass) / self._samples,
            self._unanswered / self._samples,
            self._prompt_tokens,
        )
        return np.round(np.array(values, dtype=float), DECIMALS)
