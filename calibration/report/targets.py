"""Figures as ``bench.json`` and every benchmark's JSON list them."""

from pydantic import BaseModel


class Target(BaseModel):
    """A measured figure, and the target it is compared with.

    Attributes:
        name: what is measured.
        value: the figure; `low` and `high` bound it (95%).
        target: a bound or a range; None if the figure is only reported.
        met: whether the target is met; None without a target.
    """

    name: str
    value: float
    low: float
    high: float
    target: float | tuple[float, float] | None
    met: bool | None


Interval = tuple[float, float, float]


def reported(name: str, interval: Interval) -> Target:
    """A figure without a target."""
    value, low, high = interval
    return Target(name=name, value=value, low=low, high=high, target=None, met=None)
