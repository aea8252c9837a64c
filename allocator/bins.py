"""Difficulty bins: quantiles of pass@1 over the calibration prompts (section 3.2)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.errors import InputError


class DifficultyBins:
    """Cut pass@1 into quantile bins; bin 0 is the easiest.

    A *high* pass@1 is an easy prompt. The paper's bins 1 to 5 are bins 0 to 4 here.

    Args:
        n_bins: number of bins; the paper uses 5. Ties can leave fewer.

    Attributes:
        edges_: inner edges in descending pass@1, shape (bins - 1,).
    """

    def __init__(self, n_bins: int = 5) -> None:
        self.n_bins = n_bins

    def fit(self, pass_at_1: ArrayLike) -> "DifficultyBins":
        """Place the edges at the quantiles of `pass_at_1`, shape (prompts,).

        An edge lies halfway between two different values: equal prompts share a bin, and those that
        are nearly equal to them later fall into the same one.

        Raises:
            InputError: no values, or a value outside [0, 1] or NaN.
        """
        values = np.asarray(pass_at_1, dtype=float)
        if values.size == 0:
            raise InputError("pass_at_1", [], "must hold at least one prompt")
        if not np.all((values >= 0) & (values <= 1)):
            bad = values[~((values >= 0) & (values <= 1))][0]
            raise InputError("pass_at_1", float(bad), "must be between 0 and 1")
        distinct, counts = np.unique(values, return_counts=True)
        halfway = (distinct[:-1] + distinct[1:]) / 2
        below = np.cumsum(counts)[:-1] / values.size  # the share of prompts below each
        shares = np.arange(1, self.n_bins) / self.n_bins if len(below) else ()
        nearest = [int(np.abs(below - share).argmin()) for share in shares]
        self.edges_ = np.unique(halfway[nearest])[::-1]
        return self

    def transform(self, pass_at_1: ArrayLike) -> NDArray[np.int64]:
        """The bin of each prompt, in the input's shape; a value on an edge is in the easier bin."""
        return bin_of(self.edges_, pass_at_1)


def shares_of(bins: NDArray[np.int64], count: int) -> tuple[float, ...]:
    """The share of each of `count` bins among bin indices."""
    return tuple((np.bincount(bins, minlength=count) / len(bins)).tolist())


def check_shares(shares: Sequence[float], count: int) -> None:
    """Check the shares that a file has of its bins.

    Raises:
        ValueError: they are not one per bin, or do not sum to 1. None at all are valid.
    """
    if shares and (len(shares) != count or abs(sum(shares) - 1) > 1e-6):
        raise ValueError(f"shares: {tuple(shares)}: one for each of {count} bins; they sum to 1")


def weights_of(shares: Sequence[float], count: int) -> tuple[float, ...]:
    """The weight of each bin over all prompts: its share; where none are known, all alike."""
    return tuple(shares) or (1 / count,) * count


def bin_of(edges: ArrayLike, pass_at_1: ArrayLike) -> NDArray[np.int64]:
    """Bin indices, in the shape of `pass_at_1`, by descending inner edges; no edges is one bin."""
    ascending = np.asarray(edges, dtype=float)[::-1]
    above = np.searchsorted(ascending, np.asarray(pass_at_1, dtype=float), side="right")
    return np.asarray(len(ascending) - above, dtype=np.int64)
