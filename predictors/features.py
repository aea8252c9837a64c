"""Features of one prompt's pilot samples, from which difficulty is predicted (section 3.2).

The paper averages the verifier's score over 2048 samples. With a few pilots more of each sample is
used: the scores of its steps, whether the pilots agree, their lengths and their log-probabilities.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from predictors.sample import Sample

FEATURE_NAMES = (
    "score_mean",
    "score_std",
    "score_min",
    "score_max",
    "first_step_score_mean",
    "lowest_step_score_mean",
    "lowest_step_score_max",
    "largest_score_drop_mean",
    "agreement",
    "answer_entropy",
    "unanswered_share",
    "top_answer_score_share",
    "steps_mean",
    "tokens_mean",
    "tokens_std",
    "token_logprob_mean",
    "token_logprob_std",
    "logprob_mean",
    "prompt_tokens",
)


# Sums of scores are divided by at least this.
TINY = 1e-300
# Scores differ in their last digits with what else is in the models' batch. Rounded features, and
# predictors fitted on them, are the same whenever the samples are.
DECIMALS = np.array([3 if name.startswith("token_logprob") else 2 for name in FEATURE_NAMES])


def rounded(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features rounded to `DECIMALS`, shape (..., features)."""
    scale = 10.0**DECIMALS
    return np.asarray(np.round(features * scale) / scale)


def pilot_features(prompt_tokens: int, pilots: Sequence[Sample]) -> NDArray[np.float64]:
    """The feature vector of one prompt, shape (len(FEATURE_NAMES),).

    Args:
        prompt_tokens: length of the prompt in tokens.
        pilots: scored samples of the prompt, at least one; equal answers must be equal strings.

    Raises:
        InputError: no pilots.
    """
    if not pilots:
        raise InputError("pilots", 0, "must be at least one pilot sample")
    scores = np.array([p.score for p in pilots])
    lowest = np.array([min(p.step_scores) for p in pilots])
    drops = [
        max((a - b for a, b in zip(p.step_scores, p.step_scores[1:], strict=False)), default=0.0)
        for p in pilots
    ]
    tokens = np.array([p.tokens for p in pilots], dtype=float)
    logprobs = np.array([p.logprob for p in pilots])
    token_logprobs = logprobs / tokens

    answers = Counter(p.answer for p in pilots if p.answer is not None)
    shares = np.array(list(answers.values()), dtype=float) / len(pilots)
    mass: defaultdict[str, float] = defaultdict(float)
    for pilot in pilots:
        if pilot.answer is not None:
            mass[pilot.answer] += pilot.score
    values = (
        scores.mean(),
        scores.std(),
        scores.min(),
        scores.max(),
        np.mean([p.step_scores[0] for p in pilots]),
        lowest.mean(),
        lowest.max(),
        np.mean(drops),
        shares.max(initial=0.0),
        -float(np.sum(shares * np.log(shares))),
        sum(p.answer is None for p in pilots) / len(pilots),
        max(mass.values(), default=0.0) / max(scores.sum(), TINY),
        np.mean([len(p.steps) for p in pilots]),
        tokens.mean(),
        tokens.std(),
        token_logprobs.mean(),
        token_logprobs.std(),
        logprobs.mean(),
        prompt_tokens,
    )
    return rounded(np.array(values, dtype=float))
