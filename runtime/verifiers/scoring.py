"""A solution's score from its verifier's and from how probable the language model found it."""

from math import exp, log, sqrt

from pydantic import BaseModel, ConfigDict

# Scores closer to 0 or 1 than this are as good as that.
NEAREST = 1e-6


class Scoring(BaseModel):
    """Weights of a logistic model of correctness. As they stand here, the verifier's score itself.

    What a language model writes wrong it has often found improbable, and that costs nothing to
    know. Calibration fits the weights, so that a score is the share of such solutions that are
    correct.

    Attributes:
        intercept: log-odds at an even verifier and a certain language model.
        verifier: weight of the verifier's log-odds.
        sqrt_nll: weight of the root of the solution's negative log-probability.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float = 0.0
    verifier: float = 1.0
    sqrt_nll: float = 0.0

    def score(self, verifier_score: float, logprob: float) -> float:
        """The score of a solution, or of as much of it as there is, in [0, 1].

        Args:
            verifier_score: the verifier's, its steps in one number, in [0, 1].
            logprob: summed natural log-probability of its tokens.
        """
        bounded = min(max(verifier_score, NEAREST), 1 - NEAREST)
        odds = self.intercept + self.verifier * log(bounded / (1 - bounded))
        odds += self.sqrt_nll * sqrt(max(0.0, -logprob))
        return 1 / (1 + exp(-odds)) if odds > -700 else 0.0


VERIFIER_ALONE = Scoring()
