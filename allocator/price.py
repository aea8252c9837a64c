"""A price of compute: what accuracy a generation must gain to be worth spending."""

from math import exp, inf, log
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from allocator import migrate
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.schedule import Schedule

# How fast the price follows traffic: after a prompt that cost twice the average it rises by this
# share. Over T prompts the average then holds to about (change of log price) / (RATE x T).
RATE = 0.05


class PricePoint(BaseModel):
    """What calibration prompts cost, and how often they were answered right, at one price.

    Attributes:
        price: accuracy a generation must gain.
        generations: average spent a prompt.
        accuracy: share answered right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    price: float = Field(gt=0)
    generations: float = Field(ge=1)
    accuracy: float = Field(ge=0, le=1)


class PriceList(JsonArtifact):
    """A schedule, and what each price led to on it; points by ascending price."""

    MIGRATIONS = migrate.PRICES

    schema_version: Literal[2] = 2
    schedule: Schedule
    points: tuple[PricePoint, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> "PriceList":
        prices = [point.price for point in self.points]
        if prices != sorted(set(prices)):
            raise ValueError("points: list each price once, in ascending order")
        return self

    def price_for(self, generations: float) -> float:
        """The price at which calibration prompts cost so much on average, interpolated in logs.

        Beyond the ends of the list it is that of the end.
        """
        spent = np.log([point.generations for point in self.points])[::-1]
        prices = np.log([point.price for point in self.points])[::-1]
        # Averages of finitely many prompts need not fall strictly.
        rising = np.maximum.accumulate(spent)
        return float(np.exp(np.interp(log(generations), rising, prices)))


class PriceController:
    """Follows a stream of prompts so that its average cost holds.

    Stochastic gradient on the logarithm of the Lagrange multiplier: a prompt that costs more than
    the average raises the price of the next ones, one that costs less lowers it.

    Args:
        average: generations a prompt to hold.
        prices: what prices led to in calibration; the stream starts from there.
        rate: how fast it follows.

    Attributes:
        value: the price now.

    Raises:
        InputError: an average below 1.
    """

    def __init__(self, average: float, prices: PriceList, rate: float = RATE) -> None:
        if not 1 <= average < inf:
            raise InputError("average", average, "must be 1 or more generations")
        self.average, self.rate = average, rate
        self.value = prices.price_for(average)
        # Beyond these nothing changes any more: without them the price would wander off, and take
        # as long to come back, where traffic cannot be made to cost that much.
        self._least, self._most = prices.points[0].price / 10, prices.points[-1].price * 10

    def spent(self, generations: float) -> None:
        """Learn what a prompt has cost."""
        moved = self.rate * (generations - self.average) / self.average
        self.value = min(max(self.value * exp(moved), self._least), self._most)
