"""A schedule: what a prompt's pool of solutions grows to, stage by stage, while that pays."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from allocator.budget import allocate
from allocator.plan import Plan


class Stage(BaseModel):
    """What the pool holds: so many independent solutions, and those of a search.

    Attributes:
        samples: independent solutions in all.
        search: the search whose solutions are in the pool beside them; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(ge=1)
    search: Plan | None = None

    @property
    def cost(self) -> int:
        """Generations the pool has cost."""
        return self.samples + (0 if self.search is None else self.search.cost(0))

    def __str__(self) -> str:
        return f"{self.samples} samples" + ("" if self.search is None else f" and {self.search}")


class Schedule(BaseModel):
    """Stages from the first sample up; each holds all that those below it hold.

    Raises:
        pydantic.ValidationError: stages that do not ascend, or that drop what was sampled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> "Schedule":
        for below, above in zip(self.stages, self.stages[1:], strict=False):
            kept = below.search is None or below.search == above.search
            if above.cost <= below.cost or above.samples < below.samples or not kept:
                raise ValueError(f"stages: {above} after {below}: let each stage add to the last")
        return self

    @property
    def costs(self) -> tuple[int, ...]:
        """Generations of each stage."""
        return tuple(stage.cost for stage in self.stages)


def schedule_of(most: int, search: Plan | None = None, after: int = 1) -> Schedule:
    """Samples in steps of about a half more, with a search from the stage of `after` samples on.

    Args:
        most: independent solutions on the top stage.
        search: a search; None for independent solutions alone.
        after: independent solutions drawn before the search.
    """
    doubled = [2**i for i in range(most.bit_length())]
    counts = sorted({*doubled, *(3 * n for n in doubled if 3 * n <= most)})
    stages = [Stage(samples=n) for n in counts if search is None or n <= after]
    if search is not None:
        stages += [Stage(samples=n, search=search) for n in counts if n >= after]
    return Schedule(stages=tuple(stages))


def worth_continuing(
    costs: ArrayLike, stage: int, gains: ArrayLike, price: float
) -> NDArray[np.bool_]:
    """Whether going further up is worth its price, for prompts that stand on one stage.

    It is if there is a stage above whose gain is over the price of all generations up to it: an
    answer that is settled gains nothing more, and a prompt that cannot be won does not either.

    Args:
        costs: generations of each stage, shape (stages,).
        stage: number of the stage they stand on.
        gains: accuracy that each stage above gains, shape (..., stages - stage - 1).
        price: accuracy that a generation must gain.
    """
    cost = np.asarray(costs, dtype=float)
    surplus = np.asarray(gains, dtype=float) - price * (cost[stage + 1 :] - cost[stage])
    return np.asarray(surplus.max(axis=-1, initial=-np.inf) > 0)


def allocate_stage(
    costs: ArrayLike, stages: NDArray[np.int64], gains: NDArray[np.float64], left: float
) -> NDArray[np.bool_]:
    """Which prompts of a batch climb one stage now, so that what is left gains most.

    The rest of the budget is allocated over all prompts as if nothing more were to be learned;
    whoever is given more climbs one stage, and then it is allocated anew, knowing more.

    Args:
        costs: generations of each stage, shape (stages,).
        stages: the stage each prompt stands on, shape (prompts,).
        gains: accuracy that each stage gains over the prompt's own, shape (prompts, stages);
            what stands at or below its own is not looked at.
        left: generations left for all.
    """
    cost = np.asarray(costs, dtype=float)
    above = np.arange(len(cost)) > stages[:, None]
    accuracy = np.where(above, gains, 0.0)
    given = allocate(cost, accuracy, left + float(cost[stages].sum()), floors=cost[stages])
    return np.asarray(given.options > stages)
