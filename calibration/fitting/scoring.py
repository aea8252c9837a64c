"""Fitting how a solution's score is made: a logistic model within questions.

What matters in a vote is which of one question's solutions are right. A model fitted on all
solutions at once would learn which questions are easy instead: easy questions have higher scores
and shorter solutions. So correct solutions are compared with incorrect ones of the same question
(conditional logistic regression, by pairs), and the result is then calibrated to probabilities.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.fitting.crossval import folds
from calibration.replay.parallel import one_blas_thread
from predictors.scoring import Scoring, alone, log_tokens, score_log_odds
from predictors.transforms import sqrt_nll

DECIMALS = 3  # of the intercept, and of the weights of columns whose values differ by a few units
# Correct and incorrect solutions of a question that are paired, each at most; of many questions
# fewer are, for about so many pairs in all. They are enough for a few weights.
MAX_PAIRED, MIN_PAIRED = 32, 4
PAIRS = 200_000
# Penalties on squared weights of standardised columns, relative to the mean loss of a pair.
PENALTIES = (1e-3, 1e-2, 1e-1)


class NothingToLearnError(ValueError):
    """No question has both correct and incorrect solutions."""


class WithinQuestions:
    """Logistic model of correctness from the differences within questions.

    Every question with correct and incorrect solutions has the same weight. The penalty is chosen
    by cross-validation over questions.

    Attributes:
        coef_: weight of each column, shape (columns,); of a constant column 0.
        intercept_: constant.
        penalty_: the chosen penalty.
    """

    def fit(
        self, X: NDArray[np.float64], y: NDArray[np.bool_], questions: NDArray[np.int64]
    ) -> "WithinQuestions":
        """Fit the model.

        Args:
            X: columns of each solution, shape (solutions, columns).
            y: whether each solution is correct, shape (solutions,).
            questions: the question of each solution, shape (solutions,).

        Raises:
            NothingToLearnError: no question has both correct and incorrect solutions, or none has
                an answer.
        """
        from sklearn.linear_model import LogisticRegression

        if not len(y):
            raise NothingToLearnError("no solution has an answer")
        scale = X.std(axis=0)
        scale[scale < 1e-9] = np.inf
        first, second, owners = _pairs(y, questions)
        differences = (X[first] - X[second]) / scale
        self.penalty_ = _penalty(differences, owners)
        coef = _weights(differences, owners, self.penalty_) / scale
        # From the order within questions to probabilities.
        odds = X @ coef
        calibrated = LogisticRegression(C=1e3).fit(odds[:, None], y)
        slope, intercept = float(calibrated.coef_[0, 0]), float(calibrated.intercept_[0])
        if slope <= 0:  # questions of higher scores are the harder ones; within them scores hold
            rate = float(y.mean())
            slope, intercept = 1.0, float(np.log(rate / (1 - rate)) - odds.mean())
        self.coef_, self.intercept_ = slope * coef, intercept
        return self


def fitted_scoring(
    scores: dict[str, NDArray[np.float64]],
    correct: NDArray[np.bool_],
    questions: NDArray[np.int64],
    *,
    logits: Sequence[str] = (),
    logprob: NDArray[np.float64] | None = None,
    tokens: NDArray[np.float64] | None = None,
    finished: NDArray[np.bool_] | None = None,
    confidence: NDArray[np.float64] | None = None,
) -> Scoring:
    """The scoring of solutions that have an answer; all arrays of shape (solutions,).

    Where no question has both correct and incorrect solutions there is nothing to learn: the first
    score stands alone, or all solutions score the same.

    Args:
        scores: each score, by name.
        correct: whether each solution is correct.
        questions: the question of each solution.
        logits: names of the scores that are log-odds; the others lie in [0, 1].
        logprob: summed natural log-probability; None where it is not known, as below.
        tokens: number of tokens.
        finished: whether the model ended the solution.
        confidence: lowest mean confidence.
    """
    columns = {name: score_log_odds(values, name in logits) for name, values in scores.items()}
    if logprob is not None:
        columns["sqrt_nll"] = sqrt_nll(-np.asarray(logprob, dtype=float))
    if tokens is not None:
        columns["log_tokens"] = log_tokens(tokens)
    if finished is not None:
        columns["unfinished"] = np.asarray(~finished, dtype=float)
    if confidence is not None:
        columns["confidence"] = confidence
    columns = _distinct(columns)
    X = np.stack([*columns.values()], axis=1)
    try:
        with one_blas_thread():
            model = WithinQuestions().fit(X, correct, questions)
    except NothingToLearnError:
        for first in scores:
            return alone(first, first in logits)
        return Scoring()
    # Rounded, so that the same samples give the same weights: a resumed calibration then finds the
    # samples that it stored under these weights.
    rounded = _rounded(model.coef_, X.std(axis=0))
    weights = dict(zip(columns, rounded, strict=True))
    # What rounding takes from the mean of the log-odds, which may be far from 0, goes here.
    intercept = model.intercept_ + float(X.mean(axis=0) @ (model.coef_ - rounded))
    return Scoring(
        intercept=round(intercept, DECIMALS),
        scores={name: weights[name] for name in scores if name in weights},
        logits=tuple(name for name in logits if name in weights),
        **{name: weight for name, weight in weights.items() if name not in scores},
    )


def _rounded(weights: NDArray[np.float64], spread: NDArray[np.float64]) -> list[float]:
    """Weights with `DECIMALS`, and one more for each digit of their column's standard deviation.

    Args:
        weights: the weight of each column, shape (columns,).
        spread: each column's standard deviation, likewise.
    """
    digits = np.floor(np.log10(np.maximum(1.0, spread))).astype(int)
    return [round(w, DECIMALS + d) for w, d in zip(weights.tolist(), digits.tolist(), strict=True)]


def _distinct(columns: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The columns without copies of earlier ones: of one step all aggregations are the same."""
    kept: dict[str, NDArray[np.float64]] = {}
    for name, values in columns.items():
        if not any(np.array_equal(values, other) for other in kept.values()):
            kept[name] = values
    return kept


def _pairs(
    correct: NDArray[np.bool_], questions: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices of a correct solution and of an incorrect one of the same question, and the question.

    Each of shape (pairs,).
    """
    order = np.argsort(questions, kind="stable")
    _, starts = np.unique(questions[order], return_index=True)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    most = int(np.clip(np.sqrt(PAIRS / len(starts)), MIN_PAIRED, MAX_PAIRED))
    for members in np.split(order, starts[1:]):
        right = members[correct[members]][:most]
        wrong = members[~correct[members]][:most]
        first, second = np.repeat(right, len(wrong)), np.tile(wrong, len(right))
        found.append((first, second, questions[first]))
    first, second, owners = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not len(first):
        raise NothingToLearnError("no question has both correct and incorrect solutions")
    return first, second, owners


def _penalty(differences: NDArray[np.float64], owners: NDArray[np.int64]) -> float:
    """The penalty of the least loss on questions that were held out of the fit."""
    if len(np.unique(owners)) < 2:
        return PENALTIES[-1]
    splits, losses = folds(owners), []
    for penalty in PENALTIES:
        total = 0.0
        for train, held_out in splits:
            weights = _weights(differences[train], owners[train], penalty)
            loss = np.logaddexp(0, -differences[held_out] @ weights)
            total += float(loss @ _of_pairs(owners[held_out]))
        losses.append(total)
    return PENALTIES[int(np.argmin(losses))]


def _weights(
    differences: NDArray[np.float64], owners: NDArray[np.int64], penalty: float
) -> NDArray[np.float64]:
    """Weights by which the correct solution of each pair scores higher; shape (columns,)."""
    from sklearn.linear_model import LogisticRegression

    # Every pair in both directions, because the regression needs two classes.
    both = np.vstack([differences, -differences])
    weight = np.tile(_of_pairs(owners), 2)
    model = LogisticRegression(
        C=1 / (2 * penalty * weight.sum()), fit_intercept=False, max_iter=1000
    )
    model.fit(both, np.arange(len(both)) < len(differences), sample_weight=weight)
    return np.asarray(model.coef_[0])


def _of_pairs(owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weight of each pair: all questions weigh the same."""
    _, question, counts = np.unique(owners, return_inverse=True, return_counts=True)
    return np.asarray(1 / counts[question])
