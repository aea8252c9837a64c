"""The figures a benchmark is held to, as every benchmark writes them into its JSON."""

from pydantic import BaseModel


class Target(BaseModel):
    """One figure that an issue names.

    Attributes:
        name: what is measured.
        value: the figure; `low` and `high` bound it (95%).
        target: what meets it: a least value, or a range; None where it only has to be reported.
        met: whether it is met.
    """

    name: str
    value: float
    low: float
    high: float
    target: float | tuple[float, float] | None
    met: bool | None


Interval = tuple[float, float, float]


def at_least(name: str, interval: Interval, target: float) -> Target:
    """A target met by a value that is as great."""
    value, low, high = interval
    return Target(name=name, value=value, low=low, high=high, target=target, met=value >= target)


def between(name: str, interval: Interval, low: float, high: float) -> Target:
    """A target met by a value inside a range."""
    value = interval[0]
    return Target(
        name=name,
        value=value,
        low=interval[1],
        high=interval[2],
        target=(low, high),
        met=low <= value <= high,
    )


def reported(name: str, interval: Interval) -> Target:
    """A figure without a target."""
    value, low, high = interval
    return Target(name=name, value=value, low=low, high=high, target=None, met=None)
