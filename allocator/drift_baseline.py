"""Distributions of calibration traffic, with which `allocator.drift` compares live traffic."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.schema import Schema

# A signal with at most this many values has one cell per value; others have deciles.
FEW = 10


class Histogram(Schema):
    """One signal's distribution over the calibration prompts.

    Attributes:
        edges: between cells, ascending; a value on an edge is in the cell above it.
        shares: share of the calibration prompts in each cell; one more than the edges.
    """

    edges: tuple[float, ...] = Field(min_length=1)
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...]

    @model_validator(mode="after")
    def _consistent(self) -> "Histogram":
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"edges: {self.edges}: list them in strictly ascending order")
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(
                f"shares: {len(self.shares)}: one more than the {len(self.edges)} edges"
            )
        if not math.isclose(sum(self.shares), 1, abs_tol=1e-6):
            raise ValueError(f"shares: {self.shares}: must add up to 1")
        return self

    def cell(self, value: float) -> int:
        """The index of a value's cell."""
        return bisect_right(self.edges, value)

    def span(self, cell: int) -> str:
        """The range of a cell, in words."""
        if cell == 0:
            return f"below {self.edges[0]:.3g}"
        if cell == len(self.edges):
            return f"{self.edges[-1]:.3g} or above"
        return f"from {self.edges[cell - 1]:.3g} to below {self.edges[cell]:.3g}"


class DriftBaseline(JsonArtifact):
    """Distributions of calibration traffic.

    Attributes:
        prompts: number of independent prompts, which determines the precision of the shares.
        pilots: pilot samples per prompt that the signals were computed from.
        signals: each signal's distribution, by name.
    """

    schema_version: Literal[1] = 1
    prompts: int = Field(ge=1)
    pilots: int = Field(ge=1)
    signals: dict[str, Histogram] = Field(min_length=1)

    @classmethod
    def of(cls, signals: Mapping[str, ArrayLike], prompts: int, pilots: int = 1) -> "DriftBaseline":
        """The distributions of some calibration prompts.

        Args:
            signals: by name, one value per prompt and replicate, shape (entries,). Bins must be of
                out-of-fold predictions.
            prompts: number of independent prompts among the entries.
            pilots: pilot samples per prompt that the signals were computed from.

        Raises:
            InputError: no signals, no values, a value that is not finite, or more prompts than
                entries.
        """
        if not signals:
            raise InputError("signals", {}, "must hold at least one signal")
        histograms = {}
        for name, entries in signals.items():
            values = np.asarray(entries, dtype=float).ravel()
            if not 1 <= prompts <= values.size:
                raise InputError(
                    "prompts", prompts, f"must be from 1 to {values.size}, the entries"
                )
            if not np.all(np.isfinite(values)):
                bad = values[~np.isfinite(values)][0]
                raise InputError(name, float(bad), "must be finite")
            edges = np.unique(values)
            if len(edges) > FEW:
                edges = np.unique(np.quantile(values, np.arange(1, 10) / 10))
            cells = np.searchsorted(edges, values, side="right")
            shares = np.bincount(cells, minlength=len(edges) + 1) / values.size
            histograms[name] = Histogram(edges=tuple(edges.tolist()), shares=tuple(shares.tolist()))
        return cls(prompts=prompts, pilots=pilots, signals=histograms)
