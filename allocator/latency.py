"""Measured seconds of plans: sequential plans take longer than parallel ones of equal cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from allocator.curves import NEGLIGIBLE, PlanEstimate
from allocator.files import JsonArtifact
from allocator.plan import Plan
from allocator.schema import Schema


class Timed(Schema):
    """A plan, and its seconds from prompt to answer."""

    plan: Plan
    seconds: Annotated[float, Field(ge=0)]


class Latency(JsonArtifact):
    """Seconds of every plan, measured one prompt at a time on the calibration machine.

    Attributes:
        timed: each plan once, with the 90th percentile over a few prompts.
    """

    schema_version: Literal[1] = 1
    timed: tuple[Timed, ...]

    @classmethod
    def of(cls, seconds: Mapping[Plan, float]) -> "Latency":
        """From seconds by plan."""
        return cls(timed=tuple(Timed(plan=p, seconds=round(s, 4)) for p, s in seconds.items()))

    def seconds(self, plan: Plan) -> float | None:
        """Seconds of a plan; None if it was not timed."""
        return next((t.seconds for t in self.timed if t.plan == plan.sampled), None)

    def best_within(
        self, options: Sequence[PlanEstimate], generations: float, seconds: float
    ) -> PlanEstimate | None:
        """The cheapest option that is about the most accurate within a budget and a time.

        About: within `NEGLIGIBLE` of the greatest accuracy.

        Args:
            options: plans with their accuracies and costs.
            generations: the budget.
            seconds: the time.

        Returns:
            None if no option fits; a plan that was not timed fits no time.
        """
        within = [
            option
            for option in options
            if option.generations <= generations
            and (taken := self.seconds(option.plan)) is not None
            and taken <= seconds
        ]
        least = max((o.accuracy for o in within), default=0.0) - NEGLIGIBLE
        enough = (o for o in within if o.accuracy >= least)
        return min(enough, key=lambda o: (o.generations, -o.accuracy), default=None)

    @classmethod
    def load(cls, path: Path) -> "Latency":
        """Read it back; without a file no plan was timed.

        Raises:
            InputError: damaged.
        """
        return super().load(path) if path.exists() else cls(timed=())
