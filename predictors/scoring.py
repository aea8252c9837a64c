"""A solution's score: how probably it is correct, by all that is known of it, or a power of that.

Votes are weighted by it. A verifier's steps make several scores (at the last step, the least, the
product, the mean), and which of them tells right from wrong best differs from verifier to verifier.
How probable the language model found a solution, how long it is and whether it ended cost nothing
to know. `calibration.fitting.scoring` fits the weights, and `calibration.fitting.log_scoring` the
power.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from allocator.errors import InputError
from allocator.files import JsonArtifact
from predictors.transforms import log_odds, sqrt_nll

# Scores are clipped to this distance from 0 and 1 before log-odds.
LOG_ODDS_CLIP = 1e-6
MAX_LOG_ODDS = 700.0  # beyond, exp overflows
# Share of the probability in a score that is a power of it: the best, beyond the top, would all
# score the same.
APART = 1e-6


class Scoring(JsonArtifact):
    """Weights of a logistic model of correctness. By default none: every solution scores 0.5.

    Attributes:
        intercept: constant.
        scores: weight of each score's log-odds, by the score's name.
        logits: names of scores that are log-odds already, as some reward models give them. All
            others lie in [0, 1].
        sqrt_nll: weight of the root of the solution's negative log-probability.
        log_tokens: weight of the logarithm of its number of tokens.
        unfinished: added where the solution was cut off before its end.
        confidence: weight of its lowest mean confidence, see `predictors.confidence`; 0 where it
            was not read.
        top: probability from which on a solution scores 1, but for `APART`. Others score their
            share of it, to a power.
        power: that power. Above 1 a vote of many doubtful solutions counts less against a few
            good ones.
    """

    intercept: float = 0.0
    scores: dict[str, float] = Field(default_factory=dict)
    logits: tuple[str, ...] = ()
    sqrt_nll: float = 0.0
    log_tokens: float = 0.0
    unfinished: float = 0.0
    confidence: float = 0.0
    top: float = Field(default=1.0, gt=0, le=1)
    power: float = Field(default=1.0, gt=0)

    def score(
        self,
        scores: Mapping[str, ArrayLike],
        logprob: ArrayLike | None = None,
        tokens: ArrayLike | None = None,
        finished: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """The score of solutions, in [0, 1]; as `probability`."""
        return self.sharpened(self.probability(scores, logprob, tokens, finished, confidence))

    def probability(
        self,
        scores: Mapping[str, ArrayLike],
        logprob: ArrayLike | None = None,
        tokens: ArrayLike | None = None,
        finished: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """How probably solutions, or as much of them as there is, are correct.

        Arguments have one shape, which is the result's: of one solution, ().

        Args:
            scores: the scores, by name; others than the weighted ones are not read.
            logprob: summed natural log-probability of each solution's tokens.
            tokens: number of tokens.
            finished: whether the model ended the solution itself.
            confidence: its lowest mean confidence.

        Raises:
            InputError: something that has a weight is missing.
        """
        odds = np.asarray(self.intercept, dtype=float)
        for name, weight in self.scores.items():
            if not weight:  # of a score that did not vary where the weights were fitted
                continue
            if name not in scores:
                raise InputError("scores", list(scores), f"must include {name!r}, which has weight")
            odds = odds + weight * score_log_odds(scores[name], name in self.logits)
        if self.sqrt_nll:
            odds = odds + self.sqrt_nll * sqrt_nll(
                -np.asarray(_given("logprob", logprob), dtype=float)
            )
        if self.log_tokens:
            odds = odds + self.log_tokens * log_tokens(_given("tokens", tokens))
        if self.unfinished:
            odds = odds + self.unfinished * ~np.asarray(_given("finished", finished), dtype=bool)
        if self.confidence:
            odds = odds + self.confidence * np.asarray(_given("confidence", confidence))
        bounded = np.minimum(np.maximum(odds, -MAX_LOG_ODDS), MAX_LOG_ODDS)
        return np.asarray(1 / (1 + np.exp(-bounded)))

    def sharpened(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """The scores of solutions by their probabilities of being correct, of any shape."""
        found = np.asarray(probabilities, dtype=float)
        if self.power == self.top == 1:
            return found
        steep = np.minimum(found / self.top, 1.0) ** self.power
        return np.asarray((1 - APART) * steep + APART * found)

    def dumped(self) -> dict[str, Any]:
        """The scoring as fingerprints have it: what came later only where it is of effect."""
        unused = {name for name in ("top", "power") if getattr(self, name) == 1}
        return self.model_dump(mode="json", exclude=unused)


def score_log_odds(scores: ArrayLike, logits: bool = False) -> NDArray[np.float64]:
    """Log-odds of scores in [0, 1]; scores that are log-odds already are left as they are."""
    values = np.asarray(scores, dtype=float)
    return values if logits else log_odds(values, LOG_ODDS_CLIP)


def log_tokens(tokens: ArrayLike) -> NDArray[np.float64]:
    """Logarithm of the number of tokens; an empty solution counts as one token."""
    return np.asarray(np.log(np.maximum(1.0, np.asarray(tokens, dtype=float))))


def alone(name: str, logits: bool = False) -> Scoring:
    """The scoring that is one score as it stands."""
    return Scoring(scores={name: 1.0}, logits=(name,) if logits else ())


# Every solution scores 1: votes are counted.
VOTES_ONLY = Scoring(intercept=40.0)
# A verifier's score at the last step, as it stands.
VERIFIER_ALONE = alone("last")


def _given(name: str, values: ArrayLike | None) -> ArrayLike:
    if values is None:
        raise InputError(name, None, "must be given: it has a weight")
    return values
