"""A ladder: what a prompt's pool of solutions grows to, rung by rung, for as long as it pays."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from allocator.budget import allocate
from allocator.plan import Plan


class Rung(BaseModel):
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


class Ladder(BaseModel):
    """Rungs from the first sample up; each holds all that those below it hold.

    Raises:
        pydantic.ValidationError: rungs that do not ascend, or that drop what was sampled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rungs: tuple[Rung, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> "Ladder":
        for below, above in zip(self.rungs, self.rungs[1:], strict=False):
            kept = below.search is None or below.search == above.search
            if above.cost <= below.cost or above.samples < below.samples or not kept:
                raise ValueError(f"rungs: {above} after {below}: let each rung add to the last")
        return self

    @property
    def costs(self) -> tuple[int, ...]:
        """Generations of each rung."""
        return tuple(rung.cost for rung in self.rungs)


def ladder_of(most: int, search: Plan | None = None, after: int = 1) -> Ladder:
    """Samples in steps of about a half more, with a search from the rung of `after` samples on.

    Args:
        most: independent solutions on the top rung.
        search: a search; None for independent solutions alone.
        after: independent solutions drawn before the search.
    """
    doubled = [2**i for i in range(most.bit_length())]
    counts = sorted({*doubled, *(3 * n for n in doubled if 3 * n <= most)})
    rungs = [Rung(samples=n) for n in counts if search is None or n <= after]
    if search is not None:
        rungs += [Rung(samples=n, search=search) for n in counts if n >= after]
    return Ladder(rungs=tuple(rungs))


def goes_on(costs: ArrayLike, rung: int, gains: ArrayLike, price: float) -> NDArray[np.bool_]:
    """Whether going further up is worth its price, for prompts that stand on one rung.

    It is if there is a rung above whose gain is over the price of all generations up to it: an
    answer that is settled gains nothing more, and a prompt that cannot be won does not either.

    Args:
        costs: generations of each rung, shape (rungs,).
        rung: number of the rung they stand on.
        gains: accuracy that each rung above gains, shape (..., rungs - rung - 1).
        price: accuracy that a generation must gain.
    """
    cost = np.asarray(costs, dtype=float)
    surplus = np.asarray(gains, dtype=float) - price * (cost[rung + 1 :] - cost[rung])
    return np.asarray(surplus.max(axis=-1, initial=-np.inf) > 0)


def share_out(
    costs: ArrayLike, rungs: NDArray[np.int64], gains: NDArray[np.float64], left: float
) -> NDArray[np.bool_]:
    """Which prompts of a batch climb one rung now, so that what is left gains most.

    The rest of the budget is allocated over all prompts as if nothing more were to be learned;
    whoever is given more climbs one rung, and then it is allocated anew, knowing more.

    Args:
        costs: generations of each rung, shape (rungs,).
        rungs: the rung each prompt stands on, shape (prompts,).
        gains: accuracy that each rung gains over the prompt's own, shape (prompts, rungs);
            what stands at or below its own is not looked at.
        left: generations left for all.
    """
    cost = np.asarray(costs, dtype=float)
    above = np.arange(len(cost)) > rungs[:, None]
    accuracy = np.where(above, gains, 0.0)
    given = allocate(cost, accuracy, left + float(cost[rungs].sum()), floors=cost[rungs])
    return np.asarray(given.options > rungs)
