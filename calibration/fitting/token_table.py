"""Tables in tokens: how many thoughts, and of what depth, for a budget of sampled tokens.

A generation of 30,000 tokens and one of 500 are not the same unit. Where thoughts were sampled at
several depths, budgets are tokens, and a row's plan says both: n thoughts (parallel compute), each
of at most so many tokens (sequential compute; the paper's section 6 asks for this ratio).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from allocator.bins import bin_of
from allocator.plan import Plan
from allocator.table import Fingerprint, LookupTable
from calibration.fitting.binned import BinnedOutcomes, gather
from calibration.fitting.difficulty import FittedDifficulty, fit_difficulty
from calibration.fitting.plan_selection import Rule, by_bin, greatest, smoothed
from calibration.fitting.rows import Candidate, FittedRow, best
from calibration.replay.parallel import in_threads
from calibration.replay.replay import Replay
from predictors.token_policy import TokenPolicy

# Default budgets: from what the cheapest plan costs on average to what the most expensive does.
BUDGETS = 8

# Plans after some pilots, and the inner edges of the bins.
_Option = tuple[BinnedOutcomes, tuple[float, ...]]


@dataclass(frozen=True)
class TokenTable:
    """A table in tokens.

    Attributes:
        table: the table.
        difficulty: the difficulty model of each number of pilots that its rows may take.
        rows: its rows, with the figures of their entries.
        notes: which budgets were left out.
    """

    table: LookupTable
    difficulty: dict[int, FittedDifficulty]
    rows: tuple[FittedRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def policy(self) -> TokenPolicy:
        """What an artifact keeps of it."""
        models = {pilots: fitted.model for pilots, fitted in self.difficulty.items()}
        return TokenPolicy(self.table, models)


def fit_token_table(
    replay: Replay,
    depths: Sequence[int | None],
    budgets: Sequence[int],
    pilots: Sequence[int],
    n_bins: int,
    fingerprint: Fingerprint,
    likelihood: bool = False,
) -> TokenTable:
    """Fit the table in tokens.

    Args:
        replay: replays of the samples; its pilots' depth is that of the table's pilots.
        depths: depths to choose among, as `Plan.thinking`.
        budgets: tokens per prompt. Those that not even the cheapest plan keeps to are left out;
            where none is given or left, `BUDGETS` of them, evenly spaced in the logarithm.
        pilots: numbers of pilots to choose among.
        n_bins: number of difficulty bins.
        fingerprint: what was measured.
        likelihood: whether scores read how probable solutions are. That of a thought forced at a
            cap is then not the one that it would have in use, as the thought is a longer one cut
            short: such thoughts are counted.
    """
    sizes = [2**power for power in range(replay.window.bit_length())]
    counted = Plan(strategy="best_of_n", n=1, selection="majority")
    plans = [
        counted.model_copy(update={"n": size, "thinking": depth, "selection": selection})
        for size, depth in product(sizes, depths)
        for selection in (("majority",) if depth and likelihood else ("majority", "weighted"))
    ]
    counts = sorted(count for count in set(pilots) if 0 < count <= replay.window)
    needed = [(plan, paid) for paid in (0, *counts) for plan in plans if plan.n >= paid]
    replay.prepare(needed, counts)
    found = in_threads(lambda n: fit_difficulty(replay, n, n_bins), counts, replay.n_jobs)
    difficulty = dict(zip(counts, found, strict=True))
    options = _options(replay, plans, difficulty)
    means = [float(replay.outcome(plan, 0).tokens.mean()) for plan in plans]
    least = int(np.ceil(min(means)))
    within = [budget for budget in budgets if budget >= least]
    note = f"token budgets below {least:,} are left out: no plan takes fewer tokens on average"
    if budgets and not within:
        note += "; as none is left, the table has budgets of its own"
    spent = sorted(set(within)) or _spaced(means)
    rows = tuple(_row(options, budget, replay.pilot_thinking) for budget in spent)
    table = LookupTable(
        fingerprint=fingerprint, difficulty="predicted", rows=tuple(row.row for row in rows)
    )
    return TokenTable(table, difficulty, rows, (note,) if len(within) < len(budgets) else ())


def _spaced(means: Sequence[float]) -> list[int]:
    """Budgets from what the cheapest plan takes on average to what the most expensive does."""
    spaced = np.geomspace(min(means), max(means), BUDGETS)
    return sorted({int(np.ceil(tokens)) for tokens in spaced})


def _options(
    replay: Replay, plans: Sequence[Plan], difficulty: Mapping[int, FittedDifficulty]
) -> list[_Option]:
    """The plans after each number of pilots; without pilots there is one bin."""
    one_bin = np.zeros(replay.prompts * replay.replicates, dtype=np.int64)
    options: list[_Option] = [(gather(replay, plans, 0, one_bin, 1), ())]
    for pilots, fitted in difficulty.items():
        if edges := fitted.edges:
            within = [plan for plan in plans if plan.n >= pilots]
            bins = bin_of(edges, fitted.predicted)
            options.append((gather(replay, within, pilots, bins, len(edges) + 1), edges))
    return options


def _row(options: Sequence[_Option], budget: int, pilot_thinking: int | None) -> FittedRow:
    """The row of the best candidate that keeps to the budget."""
    candidates = [
        Candidate(binned, edges, partial(_within_budget, rule, budget))
        for binned, edges in options
        for rule in ((by_bin, smoothed, greatest) if edges else (by_bin, greatest))
    ]
    within = [candidate for candidate in candidates if _keeps_to(candidate, budget)]
    return best(within, "tokens").fitted(budget, "tokens", pilot_thinking)


def _within_budget(rule: Rule, budget: int, binned: BinnedOutcomes) -> list[int]:
    """The rule's choice in each bin among the plans that keep to a budget of tokens there."""
    chosen = []
    for b in range(binned.n_bins):
        inside = binned.bins == b
        tokens = binned.tokens[:, inside if np.any(inside) else slice(None)].mean(axis=1)
        within = np.flatnonzero(tokens <= budget)
        if not len(within):
            within = np.array([int(tokens.argmin())])
        # The rule compares costs in the unit of the budget.
        affordable = replace(binned.take_plans(within), costs=tokens[within])
        chosen.append(int(within[rule(affordable)[b]]))
    return chosen


def _keeps_to(candidate: Candidate, budget: int) -> bool:
    """Whether every bin does on average; pilots alone may cost more."""
    bins = candidate.binned.bins
    tokens = np.bincount(bins, candidate.figures.tokens)
    return bool(np.all(tokens <= budget * np.bincount(bins)))
