"""A plan: which search to run on one prompt, and what it costs (the paper's theta, section 3)."""

from math import isqrt
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from allocator.errors import InputError

Strategy = Literal["best_of_n", "beam_search"]

# The paper's other beam width beside sqrt(N).
FIXED_BEAM_WIDTH = 4


class Plan(BaseModel):
    """One setting of the test-time hyperparameters for one prompt.

    Attributes:
        strategy: ``best_of_n`` (n independent solutions) or ``beam_search`` (n beams).
        n: generations: complete solutions, or beams. The paper's N.
        beam_width: continuations sampled from each kept beam; n / beam_width beams are kept a
            round. The paper's M. 1 for best-of-n.

    Raises:
        pydantic.ValidationError: n below 1, or a beam width that does not divide n.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Strategy
    n: int = Field(ge=1)
    beam_width: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _beams_divide(self) -> "Plan":
        if self.strategy == "best_of_n" and self.beam_width != 1:
            raise ValueError(f"beam_width: {self.beam_width}: best_of_n has none; leave it at 1")
        if self.n % self.beam_width:
            raise ValueError(f"beam_width: {self.beam_width}: choose a divisor of n = {self.n}")
        return self

    def cost(self, pilots: int) -> int:
        """Generations the plan spends on a prompt that has had `pilots` pilot samples.

        Pilots are ordinary samples: the first of best-of-n's n are the pilots themselves. Beam
        search cannot grow from them, so it pays for its n beams on top, and the pilots join its
        finished beams when the answer is selected.
        """
        return max(self.n, pilots) if self.strategy == "best_of_n" else self.n + pilots

    def __str__(self) -> str:
        if self.strategy == "best_of_n":
            return f"best-of-{self.n}"
        return f"beam search N={self.n} M={self.beam_width}"


def parse_plan(text: str) -> Plan:
    """A plan from ``strategy:n`` or ``strategy:n:beam_width``, as ``beam_search:16:4``.

    Raises:
        InputError: an unknown strategy, numbers that are none, or a plan that cannot be.
    """
    strategy, *numbers = text.split(":")
    if strategy not in get_args(Strategy):
        raise InputError("strategy", strategy, f"choose one of {', '.join(get_args(Strategy))}")
    if not 1 <= len(numbers) <= 2 or not all(number.isdecimal() for number in numbers):
        raise InputError("plan", text, "write strategy:n or strategy:n:beam_width")
    try:
        return Plan.model_validate(
            {"strategy": strategy} | dict(zip(("n", "beam_width"), map(int, numbers), strict=False))
        )
    except ValidationError as error:
        raise InputError("plan", text, error.errors()[0]["msg"]) from None


def plan_grid(budget: int, pilots: int) -> list[Plan]:
    """Every plan considered for one prompt at one budget, cheapest first.

    For each power of two within the budget, and the budget itself, as the total to spend:
    best-of-n, and beam search over what the pilots leave, with M = sqrt(N) and M = 4 (the paper's
    settings, section 5.2), N being the largest multiple of M that fits. Smaller searches stay on
    offer at every budget, for more search against a PRM is not always better.

    Args:
        budget: generations, at least 1.
        pilots: pilot samples already paid for out of the budget.
    """
    totals = {2**i for i in range(budget.bit_length())} | {budget}
    plans = set()
    for total in totals:
        left = total - pilots
        if left >= 0:
            plans.add(Plan(strategy="best_of_n", n=total))
        for width in {isqrt(max(left, 0)), FIXED_BEAM_WIDTH}:
            if 1 < width <= left:
                plans.add(Plan(strategy="beam_search", n=left - left % width, beam_width=width))
    return sorted(plans, key=lambda p: (p.cost(pilots), p.strategy, p.beam_width))
