"""Tables in tokens: how many thoughts, and of what depth, for a budget of sampled tokens.

A generation of 30,000 tokens and one of 500 are not the same unit. Where thoughts were sampled at
several depths, budgets are tokens, and a row's plan says both: n thoughts (parallel compute), each
of at most so many tokens (sequential compute; the paper's section 6 asks for this ratio).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of, shares_of
from allocator.plan import Plan
from allocator.table import BudgetRow, Fingerprint, LookupTable
from calibration.fitting.difficulty import FittedDifficulty, fit_difficulty
from calibration.fitting.plan_selection import Rule, by_bin, greatest, held_out_choices, smoothed
from calibration.fitting.rows import best, cell_of
from calibration.replay.intervals import accuracy_interval
from calibration.replay.parallel import in_threads
from calibration.replay.replay import Replay
from predictors.token_policy import TokenPolicy

# Default budgets: from what the cheapest plan costs on average to what the most expensive does.
BUDGETS = 8


@dataclass(frozen=True)
class TokenRow:
    """A row in tokens, and the figures of each entry, arrays of shape (entries,).

    Attributes:
        row: the row.
        correct: accuracy of a plan chosen on other prompts.
        tokens: of the row's plan.
    """

    row: BudgetRow
    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]


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
    rows: tuple[TokenRow, ...]
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


@dataclass(frozen=True)
class _Option:
    """Plans after some pilots, and their outcomes; entries are replicates of prompts.

    Attributes:
        pilots: number of pilots; 0 has one bin.
        edges: inner edges of the bins.
        plans: the plans.
        correct: shape (plans, entries).
        tokens: shape (plans, entries).
        flops: likewise.
        prompts: which prompt each entry belongs to, shape (entries,).
        bins: the bin of each entry, shape (entries,).
    """

    pilots: int
    edges: tuple[float, ...]
    plans: Sequence[Plan]
    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]
    prompts: NDArray[np.int64]
    bins: NDArray[np.int64]


def _options(
    replay: Replay, plans: Sequence[Plan], difficulty: Mapping[int, FittedDifficulty]
) -> list[_Option]:
    prompts = np.repeat(np.arange(replay.prompts), replay.replicates)
    options = []
    for paid in (0, *(count for count, fitted in difficulty.items() if fitted.edges)):
        within = [plan for plan in plans if plan.n >= paid]
        outcomes = [replay.outcome(plan, paid) for plan in within]
        edges = difficulty[paid].edges if paid else ()
        predicted = difficulty[paid].predicted if paid else np.zeros(len(prompts))
        options.append(
            _Option(
                paid,
                edges,
                within,
                np.array([outcome.correct.ravel() for outcome in outcomes]),
                np.array([outcome.tokens.ravel() for outcome in outcomes]),
                np.array([outcome.flops.ravel() for outcome in outcomes]),
                prompts,
                bin_of(edges, predicted),
            )
        )
    return options


@dataclass(frozen=True)
class _Candidate:
    """A row that may become the table's: one rule's choice of an option's plans.

    Attributes:
        option: the option.
        choices: the index of each bin's plan, chosen on all entries, shape (bins,).
        held_out: accuracy and tokens of each entry, whose plan is chosen on other prompts, shape
            (2, entries).
    """

    option: _Option
    choices: NDArray[np.int64]
    held_out: NDArray[np.float64]

    @property
    def chosen(self) -> NDArray[np.int64]:
        """The plan of each entry."""
        return self.choices[self.option.bins]

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Tokens of each entry's plan."""
        return np.asarray(self.option.tokens[self.chosen, np.arange(len(self.chosen))])

    def keeps_to(self, budget: int) -> bool:
        """Whether every bin does on average; pilots alone may cost more."""
        bins = self.option.bins
        return bool(np.all(np.bincount(bins, self.tokens) <= budget * np.bincount(bins)))


def _row(options: Sequence[_Option], budget: int, pilot_thinking: int | None) -> TokenRow:
    """The row of the best candidate that keeps to the budget."""
    every = [
        _candidate(option, rule, budget)
        for option in options
        for rule in ((by_bin, smoothed, greatest) if option.edges else (by_bin, greatest))
    ]
    taken = best([candidate for candidate in every if candidate.keeps_to(budget)])
    option = taken.option
    # As in `calibration.fitting.rows`: accuracy is held out, the cost is that of the plans chosen.
    correct, tokens = taken.held_out[0], taken.tokens
    flops = option.flops[taken.chosen, np.arange(len(tokens))]
    cells = []
    for b, choice in enumerate(taken.choices):
        inside = option.bins == b
        plan, prompts = option.plans[choice], option.prompts[inside]
        generations = np.full(len(prompts), float(plan.cost(option.pilots)))
        of_bin = correct[inside], generations, tokens[inside], flops[inside]
        cells.append(cell_of(plan, prompts, *of_bin))
    row = BudgetRow(
        budget=budget,
        unit="tokens",
        pilots=option.pilots,
        pilot_thinking=pilot_thinking if option.pilots else None,
        edges=option.edges,
        cells=tuple(cells),
        shares=shares_of(option.bins, len(cells)),
        interval=accuracy_interval(correct, option.prompts)[1:],
    )
    return TokenRow(row, correct, tokens)


def _candidate(option: _Option, rule: Rule, budget: int) -> _Candidate:
    everyone = np.ones(len(option.prompts), dtype=bool)
    choices = np.array(_choose(option, rule, budget, everyone))
    return _Candidate(option, choices, _held_out(option, rule, budget))


def _choose(option: _Option, rule: Rule, budget: int, on: NDArray[np.bool_]) -> list[int]:
    """The index of each bin's plan, chosen on some entries among plans within the budget there."""
    count = len(option.edges) + 1
    correct, prompts, bins = option.correct[:, on], option.prompts[on], option.bins[on]
    chosen = []
    for b in range(count):
        inside = bins == b
        costs = option.tokens[:, on][:, inside if np.any(inside) else slice(None)].mean(axis=1)
        within = np.flatnonzero(costs <= budget)
        if not len(within):
            within = np.array([int(costs.argmin())])
        chosen.append(int(within[rule(correct[within], costs[within], prompts, bins, count)[b]]))
    return chosen


def _held_out(option: _Option, rule: Rule, budget: int) -> NDArray[np.float64]:
    """Accuracy and tokens of each entry, whose plan is chosen on other prompts.

    Returns:
        Shape (2, entries).
    """

    def choose(on: NDArray[np.bool_]) -> list[int]:
        return _choose(option, rule, budget, on)

    entries = np.arange(len(option.prompts))
    figures = np.stack([option.correct, option.tokens])
    found = [
        figures[:, choices, entries]
        for choices in held_out_choices(option.prompts, option.bins, choose)
    ]
    return np.asarray(np.mean(found, axis=0))
