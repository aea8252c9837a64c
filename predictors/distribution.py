"""The distribution of pass@1 given its prediction: how far off a prediction may be.

The distribution at a prediction is that of measured pass@1 among the calibration prompts with the
nearest predictions. Its levels are corrected by conformal prediction, because these prompts are
few: a 90% interval covers the pass@1 of 90% of prompts like those of calibration, however good or
bad the predictor is.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from allocator.checks import Probability
from allocator.errors import InputError
from allocator.files import JsonArtifact

# Levels at which quantiles are stored. The usual intervals, from 10% to 99%, end at one of them.
LEVELS = np.array([0, 0.005, 0.01, 0.025, *np.arange(1, 20) / 20, 0.975, 0.99, 0.995, 1])
KNOTS = 101  # predictions at which they are stored, evenly spaced among calibration prompts
# The nearest prompts are a fifth of all (from an eighth to a quarter, intervals are about as
# narrow), but at least 40: 1 prompt in 40 is below the low end of a 95% interval.
MIN_NEAREST, NEAREST_SHARE = 40, 0.2
CORRECTED_AT = 4000  # pairs at most on which levels are corrected, evenly spaced
# The level of the last of a prompt's nearest, however many: beyond it nothing is excluded.
LAST = 1 - 1e-6
DIGITS = 4

Quantiles = Annotated[
    tuple[Probability, ...], Field(min_length=len(LEVELS), max_length=len(LEVELS))
]


class DifficultyDistribution(JsonArtifact):
    """The distribution of pass@1 given a prediction; all quantiles ascend with the prediction.

    Attributes:
        prompts: calibration prompts it was fitted on.
        knots: predictions, ascending from 0 to 1.
        table: quantiles of pass@1 at each knot, at `LEVELS`; linear in between.
        means: the mean at each knot: the prediction plus the average error around it.
    """

    INDENT: ClassVar[int | None] = None

    schema_version: Literal[1] = 1
    prompts: int = Field(ge=2)
    knots: tuple[Probability, ...] = Field(min_length=2)
    table: tuple[Quantiles, ...]
    means: tuple[Probability, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "DifficultyDistribution":
        if not len(self.knots) == len(self.table) == len(self.means):
            raise ValueError("knots, table and means differ in length")
        if self.knots[0] != 0 or self.knots[-1] != 1 or np.any(np.diff(self.knots) <= 0):
            raise ValueError("knots: they must ascend from 0 to 1")
        if any(np.any(np.diff(self.table, axis=axis) < 0) for axis in (0, 1)):
            raise ValueError("table: quantiles must ascend with levels and knots")
        return self

    def mean(self, predicted: ArrayLike) -> NDArray[np.float64]:
        """Expected pass@1, recalibrated; shaped as `predicted`, with which it ascends."""
        points = np.asarray(predicted, dtype=float)
        return np.asarray(np.interp(points, self.knots, self.means))

    def quantiles(self, predicted: ArrayLike, levels: ArrayLike) -> NDArray[np.float64]:
        """Quantiles of pass@1, shape (*shape of predicted, levels).

        Raises:
            InputError: a level outside [0, 1].
        """
        wanted = np.asarray(levels, dtype=float)
        if np.any((wanted < 0) | (wanted > 1)):
            raise InputError("levels", levels, "must be between 0 and 1")
        at_levels = _between(LEVELS, wanted.ravel(), np.array(self.table).T)
        shape = (*np.shape(predicted), *wanted.shape)
        points = np.asarray(predicted, dtype=float).ravel()
        return _between(np.array(self.knots), points, at_levels.T).reshape(shape)

    def interval(self, predicted: ArrayLike, level: float = 0.9) -> NDArray[np.float64]:
        """The interval, ends included, that holds pass@1 for a share of `level` of prompts.

        The low end is read at the knot below and the high end at the knot above: many prompts have
        a pass@1 of exactly 0 or 1, which interpolated quantiles would narrowly miss. Where there
        are too few prompts for the level, the interval is all of [0, 1].

        Returns:
            Shape (*shape of predicted, 2).

        Raises:
            InputError: the level is outside [0, 1].
        """
        knots, points = np.array(self.knots), np.clip(predicted, 0, 1)
        below = knots[np.searchsorted(knots, points, side="right") - 1]
        above = knots[np.searchsorted(knots, points)]
        low = self.quantiles(below, (1 - level) / 2)
        return np.stack([low, self.quantiles(above, (1 + level) / 2)], axis=-1)


class DistributionEstimator:
    """Fits a `DifficultyDistribution`, in scikit-learn's manner.

    Attributes:
        distribution_: the fitted distribution.
    """

    def fit(
        self, predicted: ArrayLike, pass_at_1: ArrayLike, prompts: ArrayLike
    ) -> "DistributionEstimator":
        """Fit on pairs of predicted and measured pass@1.

        Args:
            predicted: out-of-fold predictions in [0, 1], shape (rows,).
            pass_at_1: measured, in [0, 1], shape (rows,).
            prompts: which prompt each row belongs to, shape (rows,), as scikit-learn's groups.
                Every prompt has the same total weight, however many rows it has.

        Raises:
            InputError: fewer than two prompts.
        """
        pairs = _Pairs(np.asarray(predicted), np.asarray(pass_at_1), np.asarray(prompts))
        levels = pairs.corrected_levels()
        ranks = np.linspace(0, pairs.prompts, KNOTS)
        knots = np.interp(ranks, pairs.ranks, pairs.predicted).round(DIGITS)
        knots = np.unique([0.0, *knots, 1.0])
        table, means = [], []
        for knot, inside in zip(knots, pairs.nearest(knots), strict=True):
            weights, measured = pairs.weights[inside], pairs.measured[inside]
            table.append(_quantiles(measured, weights, levels))
            means.append(knot + np.average(measured - pairs.predicted[inside], weights=weights))
        # True quantiles ascend with the prediction: sorting the estimates only reduces their error.
        quantiles = np.sort(table, axis=0).round(DIGITS)
        self.distribution_ = DifficultyDistribution(
            prompts=pairs.prompts,
            knots=tuple(knots.tolist()),
            table=tuple(tuple(row) for row in quantiles.tolist()),
            means=tuple(np.sort(means).clip(0, 1).round(DIGITS).tolist()),
        )
        return self


class _Pairs:
    """Pairs of predicted and measured, by ascending prediction.

    Attributes:
        predicted, measured: shape (rows,).
        weights: one over the rows of the row's prompt.
        ranks: weight of the rows below, plus half the row's own: its rank among the prompts.
        prompts: number of prompts.
    """

    def __init__(
        self,
        predicted: NDArray[np.float64],
        measured: NDArray[np.float64],
        prompts: NDArray[np.int64],
    ) -> None:
        order = np.argsort(predicted, kind="stable")
        _, self._prompt = np.unique(prompts[order], return_inverse=True)
        rows = np.bincount(self._prompt)
        if len(rows) < 2:
            raise InputError("prompts", len(rows), "must be at least two prompts")
        self.predicted, self.measured = predicted[order], measured[order]
        self.weights, self.prompts = 1 / rows[self._prompt], len(rows)
        self.ranks = np.cumsum(self.weights) - self.weights / 2

    def nearest(self, points: NDArray[np.float64]) -> list[slice]:
        """Rows of the nearest prompts by rank around each point, as many below as above."""
        count = min(self.prompts, max(MIN_NEAREST, NEAREST_SHARE * self.prompts))
        middle = np.interp(points, self.predicted, self.ranks)
        first = np.clip(middle - count / 2, 0, self.prompts - count)
        starts = np.searchsorted(self.ranks, first)
        ends = np.searchsorted(self.ranks, first + count, side="right")
        return [slice(start, end) for start, end in zip(starts, ends, strict=True)]

    def corrected_levels(self) -> NDArray[np.float64]:
        """Levels of the nearest prompts' quantiles at which `LEVELS` hold for a new prompt.

        A prompt's own level is the share of its nearest prompts, itself excluded, with a lower
        measured value. Among n prompts and a new one, each is equally likely to have the r-th
        lowest level, which therefore corresponds to r / (n + 1). Where that is beyond all n
        prompts nothing is excluded: the level is 0 at the low end and 1 at the high end (see
        `_quantiles`). Where prompts are often the greatest of their nearest, as with pass@1 of 0
        or 1 alone, a low end is the greatest measured value, and never above it.
        """
        rows = np.linspace(0, len(self.predicted) - 1, min(len(self.predicted), CORRECTED_AT))
        chosen = rows.astype(int)
        at_most, below = np.empty(len(chosen)), np.empty(len(chosen))
        for i, (row, inside) in enumerate(
            zip(chosen, self.nearest(self.predicted[chosen]), strict=True)
        ):
            others = self.weights[inside] * (self._prompt[inside] != self._prompt[row])
            measured, total = self.measured[inside], others.sum()
            # Prompts with the same pass@1, often 0 or 1, count as outside on neither side.
            at_most[i] = others[measured <= self.measured[row]].sum() / total
            below[i] = others[measured < self.measured[row]].sum() / total
        weights = self.weights[chosen] * (self.prompts / self.weights[chosen].sum())
        ranks = LEVELS * (self.prompts + 1)
        low, high = np.floor(ranks + 1e-9), np.ceil(ranks - 1e-9)
        lower = _quantiles(at_most, weights, low / self.prompts).clip(max=LAST)
        upper = _quantiles(below, weights, high / self.prompts).clip(min=1 - LAST)
        lower, upper = np.where(low < 1, 0, lower), np.where(high > self.prompts, 1, upper)
        return np.maximum.accumulate(np.where(LEVELS < 0.5, lower, upper))


def _quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The smallest value with a share of at least the level at or below it.

    At level 0 it is 0 and at level 1 it is 1: nothing is excluded.
    """
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    place = np.searchsorted(shares, levels - 1e-9).clip(max=len(values) - 1)
    return np.where(levels <= 0, 0.0, np.where(levels >= 1, 1.0, values[order][place]))


def _between(
    grid: NDArray[np.float64], points: NDArray[np.float64], table: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows of `table`, shape (grid, columns), interpolated linearly at points of the grid."""
    left = np.clip(np.searchsorted(grid, points, side="right") - 1, 0, len(grid) - 2)
    share = np.clip((points - grid[left]) / (grid[left + 1] - grid[left]), 0, 1)[:, None]
    return np.asarray((1 - share) * table[left] + share * table[left + 1])
