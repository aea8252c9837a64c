"""A branch, which is one thought, and how much its answer weighs in the vote.

A thought can be finished (the model ended it), capped (it stopped at a number of thinking tokens,
and its answer was forced), or open (it goes on; its latest answer was forced on a side branch).
Four things tell how probably its answer is correct: how long it is, whether it ended by itself, how
probable the model found it then, and how early its answer was first probed. A direct answer, which
the model gave without a thought, is a branch too, weighed by its probability.
`calibration.fitting.branch_scoring` fits the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.errors import InputError
from allocator.files import JsonArtifact
from predictors.transforms import bounded_exp, sqrt_nll

State = Literal["open", "capped", "finished", "direct"]
MAX_LOG_ODDS = 30.0  # votes stay finite
DECIMALS = 4


@dataclass(frozen=True)
class Branch:
    """One thought.

    Attributes:
        answer: its latest answer, natural or forced; equal answers must be equal strings. None
            where there is none: it does not vote.
        depth: thinking tokens so far; of a direct answer its tokens.
        first: depth at which this answer was first probed in this thought; `depth` where no probe
            before gave it.
        state: whether the thought has ended; ``direct`` where there is none.
        nll: negative log-probability in nats of a direct answer, or of a finished thought with its
            answer; None where it is not known. Of others it is not read.

    Raises:
        InputError: a depth below 1, `first` outside 1 to `depth`, or a negative `nll`.
    """

    answer: str | None
    depth: int
    first: int
    state: State = "finished"
    nll: float | None = None

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise InputError("depth", self.depth, "must be 1 thinking token or more")
        if not 1 <= self.first <= self.depth:
            raise InputError("first", self.first, f"must be from 1 to the depth, {self.depth}")
        if self.nll is not None and not self.nll >= 0:
            raise InputError("nll", self.nll, "must be 0 or more")

    @property
    def unfinished(self) -> bool:
        """Whether it is a thought that the model has not ended."""
        return self.state in ("open", "capped")


class BranchScoring(JsonArtifact):
    """Weights of a logistic model of whether a branch's answer is correct.

    Attributes:
        intercept: constant.
        log_depth: weight of the logarithm of the depth.
        unfinished: added where the thought has not ended by itself.
        log_first: weight of the logarithm of the share of the depth at which the answer was first
            probed. It is at most 0.
        sqrt_nll: weight of the root of the negative log-probability of a finished thought.
        direct: log odds of a direct answer, beside the constant.
        direct_sqrt_nll: weight of the root of its negative log-probability.
    """

    intercept: float = 0.0
    log_depth: float = 0.0
    unfinished: float = 0.0
    log_first: float = 0.0
    sqrt_nll: float = 0.0
    direct: float = 0.0
    direct_sqrt_nll: float = 0.0

    def votes(
        self, depth: ArrayLike, first: ArrayLike, finished: ArrayLike, nll: ArrayLike
    ) -> NDArray[np.float64]:
        """The vote of branches: the odds that their answers are correct.

        Arguments have one shape, which is the result's.

        Args:
            depth: thinking tokens.
            first: depth at which the answer was first probed.
            finished: whether the thought ended by itself.
            nll: negative log-probability of finished ones.
        """
        weights = np.array([self.log_depth, self.unfinished, self.log_first, self.sqrt_nll])
        odds = self.intercept + branch_columns(depth, first, finished, nll) @ weights
        return bounded_exp(odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)

    def tempered(self, power: float) -> "BranchScoring":
        """The scoring whose votes are this one's raised to a power.

        Odds multiply only where samples err independently of each other. Those of one question
        repeat their mistakes, and a few confident ones would outvote all others.
        """
        weights = {name: round(power * weight, DECIMALS) for name, weight in self}
        return BranchScoring(**weights)

    def direct_votes(self, nll: ArrayLike) -> NDArray[np.float64]:
        """The vote of direct answers, by their negative log-probabilities; of the same shape."""
        odds = self.intercept + self.direct + self.direct_sqrt_nll * sqrt_nll(nll)
        return bounded_exp(odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)

    def votes_of(self, branches: Sequence[Branch]) -> NDArray[np.float64]:
        """The vote of each branch, shape (branches,); 0 of one without an answer.

        Raises:
            InputError: a log-probability that has weight is not known.
        """
        weight = {"direct": self.direct_sqrt_nll, "finished": self.sqrt_nll}
        for branch in branches:
            if branch.nll is None and weight.get(branch.state):
                raise InputError(
                    "nll", None, f"give that of a {branch.state} branch: it has weight"
                )
        found = self.votes(
            [branch.depth for branch in branches],
            [branch.first for branch in branches],
            [branch.state == "finished" for branch in branches],
            nll := [branch.nll or 0.0 for branch in branches],
        )
        direct = self.direct_votes(nll)
        found = np.where([branch.state == "direct" for branch in branches], direct, found)
        return np.where([branch.answer is not None for branch in branches], found, 0.0)


def branch_columns(
    depth: ArrayLike, first: ArrayLike, finished: ArrayLike, nll: ArrayLike
) -> NDArray[np.float64]:
    """What `BranchScoring` weighs of a thought, shape (..., 4).

    The log depth, unfinished, the log of first / depth, the root of the negative log-probability.
    """
    depths = np.asarray(depth, dtype=float)
    share = np.asarray(first, dtype=float) / depths
    ended = np.asarray(finished, dtype=float)
    return np.stack([np.log(depths), 1 - ended, np.log(share), ended * sqrt_nll(nll)], axis=-1)
