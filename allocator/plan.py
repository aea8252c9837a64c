"""A plan: which search to run on one prompt, and what it costs (the paper's theta, section 3)."""

from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import Field, ValidationError, model_validator

from allocator.errors import InputError
from allocator.schema import Schema

Strategy = Literal[
    "best_of_n", "beam_search", "dvts", "rebase", "dora", "revisions", "beam_revisions"
]
Selection = Literal["weighted", "best", "majority"]

# The settings each strategy takes beside n, in the order that `parse_plan` reads them.
SETTINGS: dict[str, tuple[str, ...]] = {
    "best_of_n": ("thinking",),
    "beam_search": ("beam_width", "lookahead"),
    "dvts": ("beam_width",),
    "rebase": (),
    "dora": (),
    "revisions": ("length",),
    "beam_revisions": ("beam_width", "length"),
}
# Strategies that grow solutions step by step.
SEARCHES = ("beam_search", "dvts", "rebase", "dora", "beam_revisions")
DEFAULTS = {"beam_width": 1, "lookahead": 0, "length": 1, "thinking": None}

# Strategies of a grid by default: the paper's search against a PRM.
CONSIDERED: tuple[Strategy, ...] = ("best_of_n", "beam_search")

# The paper's other beam width beside sqrt(N).
FIXED_BEAM_WIDTH = 4
# Larger searches over-optimise the verifier (section 5.2), and are most of what calibration costs.
MAX_BEAMS = 16


class Plan(Schema):
    """One setting of the test-time hyperparameters for one prompt.

    Attributes:
        strategy: ``best_of_n`` (n independent solutions), ``beam_search`` (n beams), ``dvts``
            (diverse verifier tree search: n / beam_width independent subtrees), ``rebase`` (n
            beams, continued in proportion to their scores' softmax), ``dora`` (the same, where
            beams alike share one beam's weight), ``revisions`` (chains of attempts, each revising
            those before it) or ``beam_revisions`` (beam search whose finished beams are then
            revised).
        n: generations: complete solutions, beams or attempts in all. The paper's N.
        beam_width: continuations sampled from each kept beam; n / beam_width beams are kept a
            round. The paper's M.
        lookahead: steps by which each candidate is rolled out before it is scored. The paper's k.
        length: attempts in a chain, one after the other; n / length chains run in parallel.
        selection: how the answer is chosen among all solutions, see
            `runtime.answers.selection.select`.
        thinking: tokens that each solution may think, after which its answer is forced; 0 answers
            without thought, None leaves it to the model. Sequential compute, where n is parallel.

    Raises:
        pydantic.ValidationError: n below 1, settings that do not divide n, or settings that the
            strategy does not take.
    """

    strategy: Strategy
    n: int = Field(ge=1)
    beam_width: int = Field(default=1, ge=1)
    lookahead: int = Field(default=0, ge=0)
    length: int = Field(default=1, ge=1)
    selection: Selection = "weighted"
    thinking: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _settings_fit(self) -> "Plan":
        for name, default in DEFAULTS.items():
            value = getattr(self, name)
            if name not in SETTINGS[self.strategy] and value != default:
                raise ValueError(f"{name}: {value}: {self.strategy} has none; leave it out")
        if self.n % self.length:
            raise ValueError(f"length: {self.length}: choose a divisor of n = {self.n}")
        if self.beams % self.beam_width:
            raise ValueError(f"beam_width: {self.beam_width}: choose a divisor of n = {self.beams}")
        return self

    @property
    def beams(self) -> int:
        """Solutions, beams or chains that run in parallel: n / length."""
        return self.n // self.length

    @property
    def sampled(self) -> "Plan":
        """The plan with the default selection: plans that differ only in selection sample alike."""
        return self.model_copy(update={"selection": "weighted"})

    def without_search(self, pilots: int) -> "Plan":
        """The plan if it samples whole solutions at once, else best-of-N at its cost.

        Args:
            pilots: pilots that the prompt has had.
        """
        if self.strategy == "best_of_n":
            return self
        return Plan(strategy="best_of_n", n=self.cost(pilots), selection=self.selection)

    def cost(self, pilots: int) -> int:
        """Generations the plan spends on a prompt that has had `pilots` pilot samples.

        Pilots are ordinary samples: best-of-n's first solutions and the first attempts of
        revision chains are the pilots themselves. Beams cannot grow from them, so a search pays
        for its n beams on top, and the pilots join the finished beams when the answer is
        selected. Lookahead k costs n x (k + 1) (section 5.2).
        """
        if self.strategy == "best_of_n":
            return max(self.n, pilots)
        if self.strategy == "revisions":
            return self.n + max(0, pilots - self.beams)
        return self.n * (self.lookahead + 1) + pilots

    def __str__(self) -> str:
        text = {
            "best_of_n": f"best-of-{self.n}",
            "beam_search": f"beam search N={self.n} M={self.beam_width}",
            "dvts": f"DVTS N={self.n} M={self.beam_width}",
            "rebase": f"REBASE N={self.n}",
            "dora": f"DORA N={self.n}",
            "revisions": f"revisions {self.beams} x {self.length}",
            "beam_revisions": f"beam search N={self.beams} M={self.beam_width}, "
            f"then revisions x {self.length}",
        }[self.strategy]
        if self.lookahead:
            text += f" k={self.lookahead}"
        if self.thinking is not None:
            text += f", thinking {self.thinking} tokens" if self.thinking else ", without thought"
        return text if self.selection == "weighted" else f"{text}, {self.selection}"


def parse_plan(text: str) -> Plan:
    """A plan from ``strategy:n``, the strategy's settings, and a selection if it is not weighted.

    For example ``best_of_n:16``, ``best_of_n:16:majority``, ``best_of_n:4:2000`` (thoughts of at
    most 2,000 tokens; 0 is without thought), ``beam_search:16:4`` (M = 4),
    ``beam_search:16:4:1`` (lookahead 1), ``dvts:16:4``, ``revisions:16:4`` (4 chains of length
    4), ``rebase:16``, ``beam_revisions:64:4:4`` (16 beams, M = 4, in chains of length 4).

    Raises:
        InputError: an unknown strategy, settings that are not whole numbers, or an invalid plan.
    """
    strategy, *parts = text.split(":")
    if strategy not in get_args(Strategy):
        raise InputError("strategy", strategy, f"choose one of {', '.join(get_args(Strategy))}")
    selection = parts.pop() if parts and parts[-1] in get_args(Selection) else "weighted"
    names = ("n", *SETTINGS[strategy])
    if not 1 <= len(parts) <= len(names) or not all(part.isdecimal() for part in parts):
        raise InputError(
            "plan", text, f"write {':'.join([strategy, *names])}, whole numbers but for the first"
        )
    try:
        return Plan.model_validate(
            {"strategy": strategy, "selection": selection}
            | dict(zip(names, map(int, parts), strict=False))
        )
    except ValidationError as error:
        raise InputError("plan", text, error.errors()[0]["msg"]) from None
    except ValueError as error:  # more digits than Python reads
        raise InputError("plan", text[:80], str(error)) from None


def plan_grid(
    budget: int,
    pilots: int,
    strategies: Sequence[Strategy] = CONSIDERED,
    max_beams: int = MAX_BEAMS,
    every_width: bool = False,
    lookaheads: Sequence[int] = (),
) -> list[Plan]:
    """Every plan considered for one prompt at one budget, cheapest first.

    - Best-of-n for each power of two within the budget, and the budget itself.
    - Beam search and DVTS with a power of two of beams that fits beside the pilots, so that
      whatever the number of pilots the same searches are sampled, with M = sqrt(N) (the power of
      two below it, but at least 2) and M = 4 (the paper's settings, section 5.2), or with every
      width. DVTS has two subtrees or more: with one it is beam search.
    - REBASE and DORA with such a number of beams.
    - Beam search with lookahead, M = 4, if wanted: at equal cost it was worse in the paper
      (section 5.3).
    - Revisions at every sequential-to-parallel ratio of powers of two (section 6.2), the pilots
      being first attempts.
    - Beam search over a quarter of such beams, M = sqrt(N), revised in chains of 4.

    Smaller searches are in the grid at every budget, because more search against a PRM is not
    always better.

    Args:
        budget: generations, at least 1.
        pilots: pilot samples already spent from the budget.
        strategies: strategies to consider; best-of-n is always considered.
        max_beams: generations of the largest search: its beams, times lookahead + 1.
        every_width: whether M is every power of two that divides N.
        lookaheads: steps of rollout to consider, each at least 1.
    """
    totals = {2**i for i in range(budget.bit_length())} | {budget}
    plans = {Plan(strategy="best_of_n", n=n) for n in totals if n >= pilots}
    for total in sorted(totals):
        if "revisions" in strategies:
            lengths = (2**i for i in range(1, total.bit_length()))
            chains = [Plan(strategy="revisions", n=total - total % k, length=k) for k in lengths]
            plans |= {plan for plan in chains if plan.cost(pilots) <= budget}
    largest = min(max(budget - pilots, 0), max_beams)
    for n in (2**i for i in range(1, largest.bit_length())):
        widths = {max(2, _root(n)), min(FIXED_BEAM_WIDTH, n)}
        if every_width:
            widths = {2**i for i in range(1, n.bit_length())}
        for strategy in ("beam_search", "dvts"):
            if strategy in strategies:
                plans |= {
                    Plan(strategy=strategy, n=n, beam_width=width)
                    for width in widths
                    if strategy == "beam_search" or width < n
                }
        resampling: tuple[Strategy, ...] = ("rebase", "dora")
        plans |= {Plan(strategy=name, n=n) for name in resampling if name in strategies}
        if "beam_search" in strategies:
            width = min(FIXED_BEAM_WIDTH, n)
            plans |= {
                Plan(strategy="beam_search", n=n, beam_width=width, lookahead=steps)
                for steps in lookaheads
                if n * (steps + 1) <= largest
            }
        if "beam_revisions" in strategies and (width := _root(n // 4)) > 1:
            plans.add(Plan(strategy="beam_revisions", n=n, beam_width=width, length=4))
    return sorted(
        plans, key=lambda p: (p.cost(pilots), p.strategy, p.beam_width, p.lookahead, p.length)
    )


def _root(n: int) -> int:
    """The greatest power of two within the square root of n; 0 for 0."""
    return 2 ** ((n.bit_length() - 1) // 2) if n else 0
