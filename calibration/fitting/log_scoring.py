"""The scoring of samples, logged or collected, and their scores by fits on other questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.plan import Plan
from calibration.data.answer_codes import UNANSWERED, answer_codes, text_codes
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.fitting.crossval import folds
from calibration.fitting.scoring import fitted_scoring
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.parallel import in_threads
from calibration.sampling.collect import PromptRecord
from predictors.scoring import Scoring
from runtime.verifiers.base import all_aggregations

SAMPLES = 8  # collected solutions per prompt; enough to fit a few weights and a power
POWERS = (2, 4, 8)
TOP = 0.95  # quantile of the probabilities that scores 1


@dataclass(frozen=True)
class LogScoring:
    """The scoring of a log's samples, and what it scores them.

    Attributes:
        scoring: the scoring.
        held_out: the score of every sample by weights that were fitted on other questions, shape
            (questions, samples). Tables fitted on these do not profit from weights that were fitted
            on their questions.
    """

    scoring: Scoring
    held_out: NDArray[np.float64]


def fit_scoring(records: Sequence[PromptRecord], verified: bool = True) -> Scoring:
    """The scoring of solutions, from all aggregations of their step scores.

    Args:
        records: independent solutions with the scores of their steps.
        verified: whether a verifier scored them; else the scores of the steps say nothing.
    """
    found = fit_log_scoring(_log_of(records, verified), n_jobs=1)
    return Scoring() if found is None else found.scoring


def _log_of(records: Sequence[PromptRecord], verified: bool) -> Log:
    """The independent solutions of records as a log."""
    runs = [record.independent for record in records]
    samples = [sample for run in runs for sample in run.samples]
    counts = np.array([len(run.samples) for run in runs])
    there = np.arange(counts.max()) < counts[:, None]

    def placed(values: Sequence[float] | NDArray[Any], missing: float = 0) -> NDArray[Any]:
        """Values of all samples, shape (questions, samples)."""
        given = np.asarray(values)
        found = np.full(there.shape, missing, dtype=given.dtype)
        found[there] = given
        return found

    texts = text_codes([sample.answer for sample in samples])
    correct = np.array([right for run in runs for right in run.correct])
    answer = answer_codes(np.repeat(np.arange(len(runs)), counts), texts, correct)
    scores = [all_aggregations(sample.step_scores) for sample in samples] if verified else [{}]
    answered = np.array([sample.answer is not None for sample in samples])
    confidence = np.array([sample.confidence for sample in samples])
    read = not np.isnan(confidence[answered]).any()
    return Log(
        name="samples",
        digest="",
        answer=placed(answer, UNANSWERED),
        scores=LoggedScores({name: placed([s[name] for s in scores]) for name in scores[0]}),
        tokens=placed([float(sample.tokens) for sample in samples]),
        left_out=0,
        counts=counts,
        logprob=placed([sample.logprob for sample in samples]),
        finished=placed([sample.ended for sample in samples]),
        confidence=placed(np.where(answered, confidence, 0.0)) if read else None,
    )


def fit_log_scoring(log: Log, n_jobs: int | None = -1) -> LogScoring | None:
    """Fit how a log's samples are scored; None where nothing but answers was logged.

    Without scores of a verifier it weighs length, log-probability and end alone.

    Args:
        log: the log.
        n_jobs: see `calibration.replay.parallel`.
    """
    columns = (log.tokens, log.logprob, log.finished)
    if not log.scores.values and all(values is None for values in columns):
        return None
    splits = folds(np.arange(len(log.answer)))
    everyone, *parts = in_threads(_fitted, [log, *(log.take(train) for train, _ in splits)], n_jobs)
    probabilities = np.zeros(log.answer.shape)
    for part, (_, held_out) in zip(parts, splits, strict=True):
        probabilities[held_out] = log_scores(part, log.take(held_out))
    scoring = _sharpened(everyone, probabilities, log)
    return LogScoring(scoring, scoring.sharpened(probabilities))


def _fitted(log: Log) -> Scoring:
    """The scoring that is a solution's probability of being correct."""
    columns = (log.tokens, log.logprob, log.finished, log.confidence)
    answered = log.answer != UNANSWERED  # others do not vote
    questions = np.broadcast_to(np.arange(len(log.answer))[:, None], log.answer.shape)
    tokens, logprob, finished, confidence = (
        None if values is None else values[answered] for values in columns
    )
    return fitted_scoring(
        {name: values[answered] for name, values in log.scores.values.items()},
        log.correct[answered],
        questions[answered],
        logits=log.scores.logits,
        logprob=logprob,
        tokens=tokens,
        finished=finished,
        confidence=confidence,
    )


def _sharpened(scoring: Scoring, probabilities: NDArray[np.float64], log: Log) -> Scoring:
    """The scoring with the power by which weighted votes are the most accurate on a log.

    Of the powers within a standard error, over questions, of the most accurate it is the smallest:
    1, the probabilities as they are, wherever the others are not clearly better.

    Args:
        scoring: gives probabilities.
        probabilities: of every sample, by fits on other questions: those of its own fit look surer
            than they are.
        log: the samples.
    """
    top = float(f"{np.quantile(probabilities[log.answer != UNANSWERED], TOP):.6g}")
    sharp = [scoring.model_copy(update={"top": top, "power": float(power)}) for power in POWERS]
    every = [scoring, *sharp]
    return every[_first_as_accurate([each.sharpened(probabilities) for each in every], log, 1)]


def baseline_score(log: Log) -> str | None:
    """The logged score that the baseline's votes, of best-of-N weighted, are weighted by.

    Compared with a weaker one, ways to spend would seem to save what another score saves alone. But
    of scores that are about as good, the one that is luckiest here is no better elsewhere.

    Args:
        log: samples to calibrate on.

    Returns:
        Of the scores within two standard errors, over questions, of the most accurate one the
        first; None where no score was logged.
    """
    names = list(log.scores.values)
    if not names:
        return None
    return names[_first_as_accurate(list(map(log.scores.probabilities, names)), log, 2)]


def _first_as_accurate(scores: Sequence[NDArray[np.float64]], log: Log, errors: float) -> int:
    """The first of several scores by which votes are about as often right as by any of them.

    Args:
        scores: of every sample, each.
        log: the samples.
        errors: standard errors, over questions, that it may be below the most accurate.
    """
    right = np.array([_accuracies(each, log) for each in scores])
    missed = right[right.mean(1).argmax()] - right  # shape (scores, questions)
    close = missed.mean(1) <= errors * missed.std(1) / np.sqrt(len(log.answer))
    return int(close.argmax())


def _accuracies(scores: NDArray[np.float64], log: Log) -> NDArray[np.float64]:
    """How often votes are right, a value a question: on average over 2, 4, 8 ... votes."""
    replay = LoggedReplay(log, scores, n_jobs=1)
    plans = [Plan(strategy="best_of_n", n=2**k) for k in range(1, log.window.bit_length())]
    correct = [replay.outcome(plan, 0).correct.mean(1) for plan in plans]
    return np.asarray(np.mean(correct, axis=0))


def log_scores(scoring: Scoring, log: Log) -> NDArray[np.float64]:
    """The score of every sample of a log, shape (questions, samples).

    Raises:
        InputError: the log lacks something that has a weight, or has a score on another scale.
    """
    columns = _columns(scoring, log)
    for name, column in columns.items():
        fitted, here = name in scoring.logits, column in log.scores.logits
        if fitted != here:
            scales = {True: "log-odds", False: "probabilities"}
            raise InputError(
                "scores",
                column,
                f"it holds {scales[here]} in {log.name}, and held {scales[fitted]} in the log "
                "that was calibrated on; rescale it, or see --logits",
            )
    scores = {name: log.scores.values[column] for name, column in columns.items()}
    found = scoring.score(scores, log.logprob, log.tokens, log.finished, log.confidence)
    return np.broadcast_to(found, log.answer.shape)


def _columns(scoring: Scoring, log: Log) -> dict[str, str]:
    """The log's column of each score that has a weight. A lone score may have another name.

    Raises:
        InputError: the log lacks something that has a weight.
    """
    weighted = [name for name, weight in scoring.scores.items() if weight]
    here = list(log.scores.values)
    if len(weighted) == len(here) == 1:
        return {weighted[0]: here[0]}
    others = {
        "logprob": (scoring.sqrt_nll, log.logprob),
        "tokens": (scoring.log_tokens, log.tokens),
        "finished": (scoring.unfinished, log.finished),
        "confidence": (scoring.confidence, log.confidence),
    }
    lacking = [name for name in weighted if name not in here]
    lacking += [name for name, (weight, values) in others.items() if weight and values is None]
    if lacking:
        raise InputError(
            "columns",
            lacking[0],
            f"the artifact weighs it, and {log.name} has no such column; name one so, or calibrate "
            "on a log without it",
        )
    return {name: name for name in weighted}
