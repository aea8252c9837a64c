"""What calibration samples of each prompt and which tables it fits; checked before any work."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from allocator.errors import InputError
from allocator.lock import check_writable
from allocator.plan import CONSIDERED, MAX_BEAMS, SEARCHES, Plan, Strategy, plan_grid
from calibration.data.questions import MIN_PROMPTS
from calibration.fitting.race import PARTS

ScoringChoice = Literal["fitted", "verifier"]

# Searches run per prompt: with a single run, search plans would be chosen by luck.
RUNS = 4
# Prompts on which all searches are run. Thirds of them tell which leads at its cost.
RACED = 100

Widths = Literal["paper", "every"]


@dataclass(frozen=True)
class CalibrationSettings:
    """What to sample and fit.

    Attributes:
        budgets: budgets of the table, in generations per prompt.
        pilots: numbers of pilot samples to choose among; 0 reads the prompt alone.
        n_bins: number of difficulty bins.
        seed: seed of all sampling.
        strategies: strategies to choose among.
        max_beams: generations of the largest search: its beams, times lookahead + 1.
        widths: beam widths to choose among: ``paper`` for the paper's, ``every`` for every power
            of two that divides the beams.
        lookaheads: steps of lookahead to choose among, beside none.
        raced: prompts on which all searches are run; on the others only those that led, see
            `calibration.fitting.race`.
        runs: how many times each search is run per prompt.
        scoring: ``fitted`` combines all that is known of a solution, see `predictors.scoring`;
            ``verifier`` leaves the verifier's scores as they are, as in the paper.
        thinking: depths of thought for the table in tokens, as `allocator.plan.Plan.thinking`: 0
            is no thought, None the model's default; none for no such table.
        token_budgets: its budgets; none takes some from what was sampled.
    """

    budgets: Sequence[int]
    pilots: Sequence[int]
    n_bins: int
    seed: int
    strategies: Sequence[Strategy] = CONSIDERED
    max_beams: int = MAX_BEAMS
    widths: Widths = "paper"
    lookaheads: Sequence[int] = ()
    raced: int = RACED
    runs: int = RUNS
    scoring: ScoringChoice = "fitted"
    thinking: Sequence[int | None] = ()
    token_budgets: Sequence[int] = ()

    def grid(self, budget: int, pilots: int) -> list[Plan]:
        """The plans considered; see `allocator.plan.plan_grid`."""
        every = self.widths == "every"
        return plan_grid(budget, pilots, self.strategies, self.max_beams, every, self.lookaheads)

    def depths(self, samples: int) -> list[Plan]:
        """The plans that sample the depths.

        Args:
            samples: solutions of each depth.
        """
        return [
            Plan(strategy="best_of_n", n=samples, thinking=depth)
            for depth in dict.fromkeys(self.thinking)
            if depth is not None
        ]

    def check_thinking(self, deepest: int | None) -> None:
        """Check the depths of thought.

        Args:
            deepest: the largest cap that thoughts can reach, see
                `runtime.solutions.thinker.deepest_cap`; None for a model without thoughts.

        Raises:
            InputError: depths for a model without thoughts, a single one, or one that thoughts
                cannot reach; or token budgets without depths or below 1.
        """
        if self.token_budgets and not self.thinking:
            raise InputError(
                "token-budgets", list(self.token_budgets), "they go with --thinking; leave them out"
            )
        if not self.thinking:
            return
        if min(self.token_budgets, default=1) < 1:
            raise InputError(
                "token-budgets", list(self.token_budgets), "give budgets of at least 1 token"
            )
        if deepest is None:
            raise InputError(
                "thinking",
                list(self.thinking),
                "the model's vocabulary has no marks of thoughts; name them with --thought, or "
                "leave this out",
            )
        if len(set(self.thinking)) < 2:
            raise InputError("thinking", list(self.thinking), "give at least two to choose among")
        if max(depth or 0 for depth in self.thinking) > deepest:
            raise InputError(
                "thinking",
                list(self.thinking),
                f"--max-tokens leaves room for depths up to {max(deepest, 0)}, and an answer; give "
                "a greater --max-tokens, or lesser depths",
            )

    def check_searches(self, has_reviser: bool, has_verifier: bool = True) -> None:
        """Check the strategies and how often searches are run.

        Raises:
            InputError: an unknown strategy, one that needs a reviser or a verifier where there is
                none, a number below 1, or too few prompts for a race.
        """
        unknown = [name for name in self.strategies if name not in get_args(Strategy)]
        if unknown:
            raise InputError("strategies", unknown, f"choose from {', '.join(get_args(Strategy))}")
        for name, value in (
            ("max-beams", self.max_beams),
            ("runs", self.runs),
            *(("lookahead", steps) for steps in self.lookaheads),
        ):
            if value < 1:
                raise InputError(name, value, "give at least 1")
        if self.raced < PARTS:
            raise InputError(
                "race",
                self.raced,
                f"give at least {PARTS}: searches are compared on the easiest, the middling "
                "and the hardest of these prompts",
            )
        if self.lookaheads and "beam_search" not in self.strategies:
            raise InputError(
                "lookahead", list(self.lookaheads), "it goes with beam_search; leave it out"
            )
        searching = [name for name in self.strategies if name in SEARCHES]
        if searching and not has_verifier:
            raise InputError("strategies", searching, "they need a verifier; name one")
        revising = [name for name in self.strategies if name in ("revisions", "beam_revisions")]
        if revising and not has_reviser:
            raise InputError("strategies", revising, "they need a reviser; name one with --reviser")


def check_budgets(budgets: Sequence[int]) -> None:
    """Check budgets in generations per prompt.

    Raises:
        InputError: there are none, or one is below 1.
    """
    if not budgets or min(budgets) < 1:
        raise InputError("budgets", list(budgets), "give one or more budgets of at least 1")


def check_tables(
    out: Path, budgets: Sequence[int], pilots: Sequence[int], n_bins: int, prompts: int
) -> None:
    """Check that tables can be fitted and written.

    Args:
        out: the artifact folder, which must not exist yet.
        budgets: budgets of the table, in generations per prompt.
        pilots: numbers of pilot samples to choose among.
        n_bins: number of difficulty bins.
        prompts: number of prompts.

    Raises:
        InputError: the first of them that is unusable.
    """
    if out.exists():
        raise InputError("out", str(out), "it exists already; choose another folder, or remove it")
    check_writable(out)
    check_budgets(budgets)
    # A budget of 1 leaves no room for a pilot; one pilot still measures difficulty.
    max_pilots = max(1, max(budgets) - 1)
    if not any(pilots) or not 0 <= min(pilots) <= max(pilots) <= max_pilots:
        raise InputError(
            "pilots",
            list(pilots),
            f"choose from 1 to {max_pilots}, below the top budget, and 0 beside others",
        )
    if n_bins < 1:
        raise InputError("bins", n_bins, "give at least 1")
    if prompts < MIN_PROMPTS:
        raise InputError("prompts", prompts, f"calibration needs at least {MIN_PROMPTS}")
