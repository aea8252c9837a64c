"""The price of compute: the accuracy that a generation must gain to be spent."""

from collections.abc import Sequence
from math import exp, log
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from allocator import migrate
from allocator.checks import finite
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.schedule import Schedule
from allocator.schema import Schema

# How fast the price follows traffic: a prompt that cost twice the average raises it by this share.
# Over T prompts the average cost then deviates by about (change of log price) / (RATE x T), and
# where steps are smaller, by as much more.
RATE = 0.05
# With more prompts in flight, steps are made smaller. The oldest holds up so many at most.
IN_FLIGHT, MOST_AWAITED = 8, 1024


def interpolated_price(log_cost: float, costs: Sequence[float], prices: Sequence[float]) -> float:
    """The price at which prompts have an average cost, interpolated in logs.

    Beyond the ends of the points it is the price at the end.

    Args:
        log_cost: natural logarithm of the average cost.
        costs: average cost at each price, in the same unit.
        prices: the prices, ascending.
    """
    # Averages over few prompts need not be monotone in the price.
    rising = np.maximum.accumulate(np.log(costs)[::-1])
    return float(np.exp(np.interp(log_cost, rising, np.log(prices)[::-1])))


class PricePoint(Schema):
    """Average cost and accuracy of the calibration prompts at one price.

    Attributes:
        price: accuracy a generation must gain.
        generations: spent per prompt on average.
        accuracy: share of prompts answered right.
    """

    price: float = Field(gt=0)
    generations: float = Field(ge=1)
    accuracy: float = Field(ge=0, le=1)


class PriceList(JsonArtifact):
    """A schedule, and the cost and accuracy of each price on it; points by ascending price."""

    MIGRATIONS = migrate.PRICES

    schema_version: Literal[3] = 3
    schedule: Schedule
    points: tuple[PricePoint, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> "PriceList":
        prices = [point.price for point in self.points]
        if prices != sorted(set(prices)):
            raise ValueError("points: list each price once, in ascending order")
        return self

    def price_for(self, generations: float) -> float:
        """The price at which calibration prompts had an average cost, interpolated in logs.

        Beyond the ends of the list it is the price at the end.

        Args:
            generations: average cost per prompt.

        Raises:
            InputError: an average that is not above 0.
        """
        if not generations > 0:
            raise InputError("generations", generations, "must be above 0")
        spent = [point.generations for point in self.points]
        return interpolated_price(log(generations), spent, [p.price for p in self.points])


def check_average(average: float) -> None:
    """Check an average cost of prompts in generations.

    Raises:
        InputError: it is below 1, which every prompt costs.
    """
    if not finite(average) or average < 1:
        raise InputError("average_budget", average, "must be 1 or more generations")


class PriceController:
    """Adjusts the price over a stream of prompts to hold an average cost.

    Stochastic gradient on the logarithm of the Lagrange multiplier: a prompt that costs more than
    the average raises the price of the next ones, one that costs less lowers it.

    Prompts in flight at the same time end in another order than they began: those that cost little
    end first. Costs therefore count in the order in which the prompts began, else the price would
    fall with every batch. The more prompts are in flight, the smaller the steps: full steps on
    delayed costs make the price oscillate. Prompts that have ended and wait for their turn to count
    are not in flight: most of them wait behind an expensive prompt, which would count for less.

    Args:
        average: generations per prompt to hold.
        prices: cost and accuracy of prices in calibration; the first price is read from it.

    Attributes:
        value: the current price.

    Raises:
        InputError: an average below 1.
    """

    def __init__(self, average: float, prices: PriceList) -> None:
        check_average(average)
        self.average = average
        self.value = prices.price_for(average)
        # Beyond these limits costs no longer change. Without limits the price would drift far away
        # where traffic cannot cost the average, and take as long to return.
        self._min, self._max = prices.points[0].price / 10, prices.points[-1].price * 10
        self._begun = self._counted = 0
        self._ended: dict[int, float | None] = {}

    def begin(self) -> int:
        """Begin a prompt at the current price; returns its number."""
        self._begun += 1
        return self._begun - 1

    def end(self, prompt: int, generations: float | None) -> None:
        """End a prompt.

        Args:
            prompt: its number, from `begin`.
            generations: its cost; None where it failed, or was not held to the price.
        """
        if prompt < self._counted:  # it held others up for too long, and they went ahead
            self._count(generations)
            return
        self._ended[prompt] = generations
        while self._counted in self._ended or self._begun - self._counted > MOST_AWAITED:
            generations = self._ended.pop(self._counted, None)
            self._counted += 1
            self._count(generations)

    def _count(self, generations: float | None) -> None:
        if generations is not None:
            in_flight = self._begun - self._counted - len(self._ended)
            steps = max(1.0, in_flight / IN_FLIGHT)
            moved = RATE / steps * (generations - self.average) / self.average
            self.value = min(max(self.value * exp(moved), self._min), self._max)
