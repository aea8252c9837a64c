"""The scores of a log: any number of columns, each of whole solutions or of their steps."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.cells import as_scores, is_blank
from calibration.data.log_rows import LogRows
from predictors.scoring import LOG_ODDS_CLIP
from runtime.verifiers.base import Aggregation, aggregate, all_aggregations

# A column with at least this share of values outside [0, 1] holds log-odds. With fewer it is
# taken for one of probabilities with errors in it.
LOGITS_SHARE = 0.5

# A score of two levels that agrees with correctness in more than this share of the answers, and of
# the right and of the wrong ones each in more than the second, is the grade itself. The second
# spares verifiers of logs in which nearly all answers are wrong, as they say of nearly all.
GRADE_AGREEMENT, GRADE_AGREEMENT_EACH = 0.98, 0.9


# Aggregations that columns of other programs have in their names' endings.
ENDINGS: Mapping[str, Aggregation] = {
    "last": "last",
    "final": "last",
    "min": "min",
    "prod": "product",
    "product": "product",
    "mean": "mean",
    "avg": "mean",
}


def aggregation_of(name: str) -> Aggregation | None:
    """The aggregation of step scores that a score's name says; None if it says none.

    ``column.min`` is the name of one that was computed here, ``score_min`` is another program's.
    """
    ending = re.split(r"[^a-z]+", name.lower())[-1]
    return None if ending == name.lower() else ENDINGS.get(ending)


@dataclass(frozen=True)
class LoggedScores:
    """Scores by name, in the order given; arrays of one shape.

    Attributes:
        values: each score. A column of step scores becomes one score per aggregation, called
            ``column.last`` and so on.
        logits: names of the scores that are log-odds; all others lie in [0, 1].
    """

    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    logits: tuple[str, ...] = ()

    @property
    def first(self) -> NDArray[np.float64] | None:
        """The first score as probabilities; None where there are none."""
        return self.probabilities(next(iter(self.values))) if self.values else None

    def probabilities(self, name: str) -> NDArray[np.float64]:
        """A score as probabilities."""
        return _probabilities(self.values[name]) if name in self.logits else self.values[name]

    def map(self, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> "LoggedScores":
        """The same with each array changed."""
        return LoggedScores({n: change(v) for n, v in self.values.items()}, self.logits)


def read_scores(
    rows: LogRows,
    answered: NDArray[np.bool_],
    aggregation: Aggregation | None,
    logits: Sequence[str] = (),
) -> LoggedScores:
    """All scores of a log, one value per row.

    A sample without an answer never votes and needs no score. What else reads it, such as the mean
    score of some samples, takes the lowest of the log: that of its question would tell of samples
    that are drawn later.

    Args:
        rows: the log.
        answered: whether each row has an answer.
        aggregation: the only aggregation of step scores to take; None takes all.
        logits: the source's names of columns that hold log-odds, however they look.

    Raises:
        InputError: a cell that is no score, or an aggregation where no cell holds step scores.
    """
    values: dict[str, NDArray[np.float64]] = {}
    known, names = set(logits), [rows.names[column] for column in rows.scores]
    if unknown := known - set(names):
        raise InputError("logits", min(unknown), f"the columns of scores are {', '.join(names)}")
    log_odds: list[str] = []
    of_steps = False
    for column in rows.scores:
        name = rows.names[column]
        place, scored = _scored(rows, column, answered)
        cells = scored.parsed(column, _scores)
        as_odds = name in known or _are_logits(scored, column, cells)
        if not any(isinstance(cell, list) for cell in scored.cells[column]):
            values[name] = _lowest_elsewhere([score for (score,) in cells], place)
            log_odds += [name] if as_odds else []
            continue
        of_steps = True
        if as_odds:
            cells = [_probabilities(np.array(cell)).tolist() for cell in cells]
        if aggregation is not None:
            one_way = [aggregate(cell, aggregation) for cell in cells]
            values[name] = _lowest_elsewhere(one_way, place)
            continue
        each = [all_aggregations(cell) for cell in cells]
        for how in each[0]:
            values[f"{name}.{how}"] = _lowest_elsewhere([one[how] for one in each], place)
    if aggregation is not None and not of_steps:
        raise InputError(
            "aggregation",
            aggregation,
            f"{rows.rows.source} has no lists of step scores; leave it out",
        )
    return LoggedScores(values, tuple(log_odds))


def check_no_grades(
    rows: LogRows, scores: LoggedScores, answered: NDArray[np.bool_], correct: NDArray[np.bool_]
) -> None:
    """Check that no score is the grade of its sample, such as the reward of a rule-based grader.

    Args:
        rows: the log.
        scores: its scores, one value per row.
        answered: whether each row has an answer.
        correct: whether each row is correct.

    Raises:
        InputError: one has two levels among the answers, and they say which of these are correct.
    """
    right = correct[answered]
    for column in rows.scores:
        source = rows.names[column]
        for name, values in scores.values.items():
            if name != source and not name.startswith(f"{source}."):
                continue
            levels = np.unique(values[answered])
            if len(levels) != 2 or right.all() or not right.any():
                continue
            agrees = (values[answered] == levels[1]) == right
            share, each = agrees.mean(), min(agrees[right].mean(), agrees[~right].mean())
            if share > GRADE_AGREEMENT and each > GRADE_AGREEMENT_EACH:
                grade = set(levels.tolist()) == {0.0, 1.0} and "correct" not in rows.names
                raise InputError(
                    "columns",
                    f"score={source}",
                    f"it says what the grade says, which nobody knows when serving: in {share:.1%} "
                    f"of the answers of {rows.rows.source} it is {levels[1]:g} if they are correct "
                    f"and {levels[0]:g} if not. It is no verifier's score: "
                    + (f"map it as correct={source}, or " if grade else "")
                    + "leave it out, of the file and of --columns",
                )


def _scored(
    rows: LogRows, column: str, answered: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], LogRows]:
    """The rows that have a score or need one, and where they are, shape (rows,)."""
    # A solution without an answer may have no steps.
    filled = np.array([not is_blank(cell) and cell != [] for cell in rows.cells[column]])
    # Where none has any, all need one.
    place = answered | filled if filled.any() else np.ones_like(filled)
    return place, rows.take(np.flatnonzero(place).tolist())


def _lowest_elsewhere(values: Sequence[float], place: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values at their places, and the lowest of them at all others, shape of `place`."""
    found = np.full(place.shape, min(values))
    found[place] = values
    return found


def _scores(cell: object) -> list[float]:
    if is_blank(cell):
        raise ValueError(
            "must be a finite number wherever there is an answer: leave such rows out, give them "
            "the lowest score, or leave the column out, of the file and of --columns"
        )
    return as_scores(cell)


def _are_logits(rows: LogRows, column: str, cells: list[list[float]]) -> bool:
    """Whether a column holds log-odds.

    Raises:
        InputError: a few of its values lie outside [0, 1]; or most do, but none below 0, which is
            another scale, as of 0 to 100.
    """
    outside = [any(not 0 <= score <= 1 for score in cell) for cell in cells]
    share = sum(outside) / len(outside)
    if 0 < share < LOGITS_SHARE:
        row = outside.index(True)
        raise rows.refusal(
            rows.numbers[row],
            column,
            rows.cells[column][row],
            f"must lie in [0, 1], as {1 - share:.0%} of its column do; if these are log-odds, name "
            f"the column: --logits {rows.names[column]}",
        )
    if share and min(map(min, cells)) >= 0:
        tops = [max(cell) for cell in cells]
        most = max(tops)
        row = tops.index(most)
        raise rows.refusal(
            rows.numbers[row],
            column,
            rows.cells[column][row],
            f"none of its column is below 0, so these are no log-odds, and {most:g} is no "
            f"probability: divide by the most there can be; if these are log-odds, name the "
            f"column: --logits {rows.names[column]}",
        )
    return share > 0


def _probabilities(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds as probabilities, none below `LOG_ODDS_CLIP`.

    Rewards far below 0 would all weigh 0 in a vote, and the first sample would win it. So small,
    they weigh the same, and votes are counted.
    """
    from scipy.special import expit

    return np.asarray(np.maximum(LOG_ODDS_CLIP, expit(log_odds)))
