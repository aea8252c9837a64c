"""Fitting the scoring: how likely a solution is correct, from its score and log-probability."""

from collections.abc import Sequence

import numpy as np

from calibration.sampling.collect import PromptRecord
from runtime.verifiers.scoring import NEAREST, VERIFIER_ALONE, Scoring

DECIMALS = 3
SAMPLES = 8  # solutions per prompt; enough to fit three weights


def fit_scoring(records: Sequence[PromptRecord]) -> Scoring:
    """Logistic regression of correctness on the verifier's log-odds and on sqrt(-logprob).

    Args:
        records: independent solutions scored by the verifier alone; at least one is right.
    """
    samples = [sample for record in records for sample in record.independent.samples]
    correct = [right for record in records for right in record.independent.correct]
    scores = np.clip([sample.score for sample in samples], NEAREST, 1 - NEAREST)
    sqrt_nll = np.sqrt(np.maximum(0, [-sample.logprob for sample in samples]))
    if all(correct):  # one class cannot be fitted: the verifier's scores are used as they are
        return VERIFIER_ALONE
    from sklearn.linear_model import LogisticRegression

    features = np.stack([np.log(scores / (1 - scores)), sqrt_nll], axis=1)
    fitted = LogisticRegression(C=100, max_iter=1000).fit(features, correct)
    verifier, weight = fitted.coef_[0]
    # Rounded, so that the same samples give the same weights: a resumed calibration then finds the
    # samples that it stored under these weights.
    intercept, verifier, weight = (
        round(float(value), DECIMALS) for value in (fitted.intercept_[0], verifier, weight)
    )
    return Scoring(intercept=intercept, verifier=verifier, sqrt_nll=weight)
