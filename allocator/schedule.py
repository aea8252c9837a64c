"""Schedules: the stages by which a prompt's pool of solutions grows, and when to continue.

The rule of what a stage adds stands here once: serving and calibration's replay both follow it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from allocator.budget import allocate
from allocator.plan import Plan
from allocator.schema import Schema


@dataclass(frozen=True)
class Addition:
    """What one stage adds to the pool.

    Attributes:
        first: number of the first independent solution.
        last: number of the one after the last.
        searches: searches that are run after them. In the pool their solutions stand after the
            independent ones: ties between answers are decided by this order.
    """

    first: int
    last: int
    searches: tuple[Plan, ...]


class Stage(Schema):
    """What the pool holds at a stage: independent solutions, and those of searches.

    Attributes:
        samples: independent solutions in all.
        searches: the searches whose solutions are in the pool too, in the order they are run.
    """

    samples: int = Field(ge=1)
    searches: tuple[Plan, ...] = ()

    @property
    def cost(self) -> int:
        """Generations the pool has cost."""
        return self.samples + sum(search.cost(0) for search in self.searches)

    def __str__(self) -> str:
        samples = f"{self.samples} sample{'s' * (self.samples > 1)}"
        return " and ".join([samples, *map(str, self.searches)])


class Schedule(Schema):
    """Stages of growing cost; each holds everything that the stages before it hold.

    Raises:
        pydantic.ValidationError: stages that do not ascend, or that drop what was sampled.
    """

    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> "Schedule":
        for below, above in zip(self.stages, self.stages[1:], strict=False):
            kept = above.searches[: len(below.searches)] == below.searches
            if above.cost <= below.cost or above.samples < below.samples or not kept:
                raise ValueError(f"stages: {above} after {below}: let each stage add to the last")
        return self

    @property
    def searches(self) -> tuple[Plan, ...]:
        """All searches, in the order they are run."""
        return self.stages[-1].searches

    @property
    def costs(self) -> tuple[int, ...]:
        """Generations of each stage."""
        return tuple(stage.cost for stage in self.stages)

    @property
    def without_searches(self) -> "Schedule":
        """The same costs without searches: every stage adds independent solutions."""
        return Schedule(stages=tuple(Stage(samples=cost) for cost in self.costs))

    def added(self, stage: int) -> Addition:
        """What a stage adds to what the stage before it holds.

        Args:
            stage: number of the stage, from 0 on.
        """
        after, before = self.stages[stage], self.stages[stage - 1] if stage else None
        if before is None:
            return Addition(0, after.samples, after.searches)
        return Addition(before.samples, after.samples, after.searches[len(before.searches) :])


def schedule_of(most: int, searches: Sequence[Plan] = (), after: int = 1) -> Schedule:
    """Stages of about half as many samples more each, and searches, a stage each, once there are
    `after` samples.

    Args:
        most: independent solutions at the last stage.
        searches: searches, in the order they are run; none for independent solutions alone.
        after: independent solutions drawn before the first search.
    """
    doubled = [2**i for i in range(most.bit_length())]
    counts = sorted({*doubled, *(3 * n for n in doubled if 3 * n <= most), most})
    run = tuple(searches)
    stages = [Stage(samples=n) for n in counts if not run or n <= after]
    stages += [Stage(samples=after, searches=run[: i + 1]) for i in range(len(run))]
    stages += [Stage(samples=n, searches=run) for n in counts if run and n > after]
    return Schedule(stages=tuple(stages))


def worth_continuing(
    costs: ArrayLike, stage: int, gains: ArrayLike, price: float
) -> NDArray[np.bool_]:
    """Whether continuing is worth its price, for prompts that are all at one stage.

    It is if some later stage gains more than the price of all generations up to it. A settled
    answer gains nothing more, and neither does a prompt that cannot be answered right.

    Args:
        costs: generations of each stage, shape (stages,).
        stage: number of the stage that the prompts are at.
        gains: accuracy gained by each later stage, shape (..., stages - stage - 1).
        price: accuracy that one generation must gain.

    Returns:
        Shape (...).
    """
    cost = np.asarray(costs, dtype=float)
    surplus = np.asarray(gains, dtype=float) - price * (cost[stage + 1 :] - cost[stage])
    return np.asarray(surplus.max(axis=-1, initial=-np.inf) > 0)


def allocate_stage(
    costs: ArrayLike, stages: NDArray[np.int64], gains: NDArray[np.float64], left: float
) -> NDArray[np.bool_]:
    """Which prompts of a batch continue by one stage, for the greatest gain from what is left.

    What is left is allocated over all prompts by their gains as known now. Each prompt that is
    allocated more continues by one stage. The caller then calls this again with updated gains.

    Args:
        costs: generations of each stage, shape (stages,).
        stages: the stage each prompt is at, shape (prompts,).
        gains: accuracy that each stage gains over the prompt's own, shape (prompts, stages);
            values at and before its own stage are ignored.
        left: generations left for all prompts together.

    Returns:
        Shape (prompts,).
    """
    cost = np.asarray(costs, dtype=float)
    above = np.arange(len(cost)) > stages[:, None]
    accuracy = np.where(above, gains, 0.0)
    given = allocate(cost, accuracy, left + float(cost[stages].sum()), floors=cost[stages])
    return np.asarray(given.options > stages)
