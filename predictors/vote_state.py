"""The state of a prompt's vote: how far its solutions so far settle the answer."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
# Scores differ in their last digits with what else is in the models' batch; rounding removes that.
DECIMALS = 3


def overtaken(leader: ArrayLike, rival: ArrayLike) -> NDArray[np.float64]:
    """The chance that the leading answer is overtaken by another in the long run.

    That is, that of the votes for either at most half are for the leader, under a uniform prior
    (adaptive consistency, Aggarwal et al. 2023).

    Args:
        leader: its votes, any shape; they need not be whole.
        rival: the other's, likewise.
    """
    from scipy.special import betainc

    return np.asarray(betainc(np.add(leader, 1), np.add(rival, 1), 0.5))


class VoteState:
    """The answers of one prompt so far, updated solution by solution.

    Args:
        prompt_tokens: length of the prompt in tokens.

    Attributes:
        leader: the answer that best-of-N weighted would choose now; None while there is none.
    """

    def __init__(self, prompt_tokens: int) -> None:
        self.leader: str | None = None
        self._prompt_tokens = prompt_tokens
        self._mass: dict[str, float] = {}
        self._votes: dict[str, int] = {}
        # For each answer its greatest score, and minus the number of the solution that has it:
        # of equal scores the earlier one ranks higher.
        self._best: dict[str, tuple[float, int]] = {}
        self._samples = self._unanswered = 0
        self._scores = 0.0

    def extend(self, solutions: Iterable[tuple[str | None, float]]) -> None:
        """Add the (answer, score) pairs of several solutions, in the pool's order."""
        for answer, score in solutions:
            self.add(answer, score)

    def add(self, answer: str | None, score: float) -> None:
        """Add one solution.

        Args:
            answer: its answer; equal answers must be equal strings. None where there is none.
            score: its score, in [0, 1].
        """
        self._samples += 1
        self._scores += score
        if answer is None:
            self._unanswered += 1
            return
        self._mass[answer] = self._mass.get(answer, 0.0) + score
        self._votes[answer] = self._votes.get(answer, 0) + 1
        drawn = (score, -self._samples)
        self._best[answer] = max(self._best.get(answer, drawn), drawn)
        # An answer's rank never falls: only this one can have overtaken the leader.
        if self.leader is None or self._rank(answer) > self._rank(self.leader):
            self.leader = answer

    def _rank(self, answer: str) -> tuple[float, float, int, int]:
        """The order of `runtime.answers.selection.select`: ties go to the greater score, then to
        the answer of more solutions, then to the earlier one.
        """
        score, place = self._best[answer]
        return self._mass[answer], score, self._votes[answer], place

    def features(self) -> NDArray[np.float64]:
        """The state as features, shape (len(VOTE_STATE_NAMES),).

        Raises:
            ZeroDivisionError: no solution was added yet.
        """
        others = [answer for answer in self._mass if answer != self.leader]
        other = max(others, key=self._rank, default=None)
        lead, best, *_ = (0.0, 0.0) if self.leader is None else self._rank(self.leader)
        rival, rival_best, *_ = (0.0, 0.0) if other is None else self._rank(other)
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
