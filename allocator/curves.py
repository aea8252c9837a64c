"""Accuracy and cost of every plan in every bin; budgets are allocated by them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from allocator.bins import check_shares, weights_of
from allocator.checks import Probability
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.plan import Plan
from allocator.schema import Schema

# Differences in accuracy that are not paid for. Plans and rows differ on few prompts, so that a
# paired test would find even a tenth of a point, and pay any number of generations for it.
NEGLIGIBLE = 0.005


class PlanEstimate(Schema):
    """One plan in one bin.

    Attributes:
        plan: the plan.
        generations: its cost, pilots included.
        accuracy: share of the bin's calibration prompts answered right.
        tokens: average sampled tokens, pilots included.
    """

    plan: Plan
    generations: int
    accuracy: Probability
    tokens: float


class BinCurves(Schema):
    """The bins of one number of pilots.

    Attributes:
        pilots: pilot samples taken before the bin is known; 0 has one bin, or the bins predicted
            from the prompt alone.
        edges: inner bin edges in pass@1, descending; one fewer than the bins.
        bins: the same plans in every bin, cheapest first; easiest bin first.
        shares: share of the calibration prompts in each bin; empty in older files.
    """

    pilots: int = Field(ge=0)
    edges: tuple[Probability, ...]
    bins: tuple[tuple[PlanEstimate, ...], ...] = Field(min_length=1)
    shares: tuple[Probability, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "BinCurves":
        if len(self.bins) != len(self.edges) + 1:
            raise ValueError(f"edges: {len(self.edges)}: one fewer than the {len(self.bins)} bins")
        check_shares(self.shares, len(self.bins))
        plans = [[option.plan for option in options] for options in self.bins]
        if any(of_bin != plans[0] for of_bin in plans) or not plans[0]:
            raise ValueError("bins: give every bin the same plans")
        return self

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(option.plan for option in self.bins[0])

    @property
    def costs(self) -> NDArray[np.float64]:
        """Generations of each plan, pilots included, shape (plans,)."""
        return np.array([float(option.generations) for option in self.bins[0]])

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Shape (bins, plans)."""
        return np.array([[option.accuracy for option in options] for options in self.bins])

    @property
    def overall(self) -> tuple[PlanEstimate, ...]:
        """The plans averaged over all prompts."""
        weights = weights_of(self.shares, len(self.bins))
        return tuple(
            options[0].model_copy(
                update={
                    "accuracy": float(np.dot(weights, [option.accuracy for option in options])),
                    "tokens": float(np.dot(weights, [option.tokens for option in options])),
                }
            )
            for options in zip(*self.bins, strict=True)
        )


class AccuracyCurves(JsonArtifact):
    """The curves of an artifact, one set per number of pilots, ascending."""

    schema_version: Literal[1] = 1
    curves: tuple[BinCurves, ...] = Field(min_length=1)

    def after(self, pilots: int) -> BinCurves:
        """The curves of prompts with a number of pilots.

        Raises:
            InputError: that number was not calibrated.
        """
        for curves in self.curves:
            if curves.pilots == pilots:
                return curves
        known = [curves.pilots for curves in self.curves]
        raise InputError("pilots", pilots, f"must be one of {known}, or calibrate with more")
