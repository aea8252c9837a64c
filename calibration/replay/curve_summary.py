"""The one schema of accuracy curves in JSON: ``summary.json``, ``bench.json``, docs/*.json."""

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from allocator.schema import Schema

# Units of cost.
Unit = Literal["generations", "tokens", "flops"]


class CurvePoint(Schema):
    """One budget of one method.

    Attributes:
        budget: generations that a prompt may cost; by price and within a total, on average.
        generations: spent per prompt on average, pilots included.
        accuracy: share of prompts answered right; `low` and `high` bound it (95%, over prompts).
        tokens: sampled per prompt on average, pilots included; None, and left out of the JSON,
            where they were not counted.
        flops: FLOPs of sampling and of scoring per prompt on average, likewise.
    """

    budget: int | float
    generations: float
    accuracy: float
    low: float
    high: float
    tokens: float | None = None
    flops: float | None = None

    @model_serializer(mode="wrap")
    def _without_unknown_costs(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        for unit in ("tokens", "flops"):
            if getattr(self, unit) is None:
                fields.pop(unit, None)
        return fields


class CurveSummary(Schema):
    """Accuracy of one method, such as ``best-of-N weighted``, one point per budget."""

    name: str
    points: tuple[CurvePoint, ...]

    def at(self, budget: float) -> CurvePoint | None:
        """The point of a budget; None if the curve has none."""
        return next((point for point in self.points if point.budget == budget), None)

    def efficient(self) -> frozenset[float]:
        """The budgets whose accuracy no other budget reaches with fewer generations on average.

        A budget bounds what one prompt may cost. A larger one whose pilots end most prompts early
        can be both more accurate and cheaper on average.
        """
        reached, found = -1.0, []
        for point in sorted(self.points, key=lambda point: (point.generations, -point.accuracy)):
            if point.accuracy > reached:
                reached = point.accuracy
                found.append(point.budget)
        return frozenset(found)
