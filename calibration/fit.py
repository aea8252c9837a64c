"""From collected records to lookup tables and the difficulty predictor (section 3.2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from allocator.bins import DifficultyBins
from allocator.plan import Plan, Strategy, plan_grid
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable
from calibration.crossval import (
    cheapest_not_clearly_worse,
    fold_of,
    mean_interval,
    most_accurate,
)
from calibration.evaluate import Replay
from predictors.learned import DifficultyPredictor, out_of_fold_predictions


@dataclass(frozen=True)
class Calibration:
    """What calibration makes.

    Attributes:
        table: over predicted difficulty.
        oracle_table: over oracle difficulty, which costs no pilots.
        predictor: fitted on every prompt.
        rank_correlation: Spearman's, of measured pass@1 with predictions by predictors that
            never saw the prompt.
    """

    table: LookupTable
    oracle_table: LookupTable
    predictor: DifficultyPredictor
    rank_correlation: float


def searches_needed(
    budgets: Sequence[int], pilots: int, strategies: Sequence[Strategy]
) -> list[Plan]:
    """Every search that fitting these budgets will ask for, each once."""
    return searches_among(
        plan
        for budget in budgets
        for paid in (0, pilots)
        if paid < budget
        for plan in plan_grid(budget, paid, strategies)
    )


def searches_among(plans: Iterable[Plan]) -> list[Plan]:
    """What has to be sampled for plans beside independent solutions, each once, smallest first."""
    searches = {plan.sampled for plan in plans if plan.strategy != "best_of_n"}
    return sorted(searches, key=lambda plan: (plan.n, str(plan)))


def fit(
    replay: Replay,
    budgets: Sequence[int],
    pilots: int,
    n_bins: int,
    fingerprint: Fingerprint,
    strategies: Sequence[Strategy],
) -> Calibration:
    """Fit predictor, bins and tables.

    In each bin a plan is preferred over a cheaper one only if it is clearly better: a bin has many
    plans and few prompts, and the most accurate of many is so by luck. At each budget a table over
    predicted difficulty either takes pilots and has a plan a bin, or takes none and has one plan
    for all: whichever did better on prompts that its plans were not chosen on.

    Args:
        replay: the calibration records.
        budgets: budgets of the table, in generations.
        pilots: pilot samples a prompt.
        n_bins: difficulty bins.
        fingerprint: what the records were sampled with.
        strategies: strategies to choose among; their searches have been collected.
    """
    count, replicates = len(replay.records), replay.replicates
    prompts = np.repeat(np.arange(count), replicates)
    features = replay.features(pilots).reshape(count * replicates, -1)
    oracle = np.repeat(replay.pass_at_1, replicates)
    predicted = out_of_fold_predictions(features, oracle, prompts)

    def grid(budget: int, paid: int) -> list[Plan]:
        return plan_grid(budget, paid, strategies)

    table_rows, oracle_rows = [], []
    for budget in sorted(set(budgets)):
        rows = [_row(replay, grid(budget, 0), budget, 0, np.zeros(len(prompts)), prompts, 1)]
        if budget > pilots:
            rows.append(
                _row(replay, grid(budget, pilots), budget, pilots, predicted, prompts, n_bins)
            )
        # This one choice of two is made on the held-out figures that the row then reports.
        chosen = most_accurate(
            np.array([row.correct for row in rows]), [row.costs.mean() for row in rows]
        )
        table_rows.append(rows[chosen].row)
        oracle_rows.append(_row(replay, grid(budget, 0), budget, 0, oracle, prompts, n_bins).row)
    return Calibration(
        _table("predicted", table_rows, fingerprint),
        _table("oracle", oracle_rows, fingerprint),
        DifficultyPredictor().fit(features, oracle),
        float(spearmanr(predicted, oracle).statistic),
    )


@dataclass(frozen=True)
class _FittedRow:
    """A row, with what it does for each entry when chosen on the other fold; shape (entries,)."""

    row: BudgetRow
    correct: NDArray[np.float64]
    costs: NDArray[np.float64]


def _table(
    difficulty: Literal["predicted", "oracle"], rows: list[BudgetRow], fingerprint: Fingerprint
) -> LookupTable:
    return LookupTable(fingerprint=fingerprint, difficulty=difficulty, rows=tuple(rows))


def _row(
    replay: Replay,
    plans: list[Plan],
    budget: int,
    pilots: int,
    difficulty: NDArray[np.float64],
    prompts: NDArray[np.int64],
    n_bins: int,
) -> _FittedRow:
    outcomes = [replay.outcome(plan, pilots) for plan in plans]
    correct = np.array([outcome.correct.ravel() for outcome in outcomes])
    tokens = np.array([outcome.tokens.ravel() for outcome in outcomes])
    costs = np.array([float(plan.cost(pilots)) for plan in plans])
    fitted = DifficultyBins(n_bins).fit(difficulty)
    bins = fitted.transform(difficulty)
    # An edge at the very top or bottom can leave a bin empty: such an edge goes.
    held = [b for b in range(len(fitted.edges_) + 1) if np.any(bins == b)]
    choices = np.empty(len(prompts), dtype=np.int64)
    cells = []
    for b in held:
        inside = bins == b
        choices[inside] = _choices_on_the_other_fold(correct[:, inside], costs, prompts[inside])
        entries, chosen = np.flatnonzero(inside), choices[inside]
        accuracy, low, high = mean_interval(correct[chosen, entries], prompts[inside])
        cells.append(
            Cell(
                plan=plans[cheapest_not_clearly_worse(correct[:, inside], costs, prompts[inside])],
                accuracy=accuracy,
                low=low,
                high=high,
                generations=float(costs[chosen].mean()),
                tokens=float(tokens[chosen, entries].mean()),
                prompts=len(np.unique(prompts[inside])),
            )
        )
    edges = tuple(float(fitted.edges_[b - 1]) for b in held[1:])
    row = BudgetRow(budget=budget, pilots=pilots, edges=edges, cells=tuple(cells))
    return _FittedRow(row, correct[choices, np.arange(len(prompts))], costs[choices])


def _choices_on_the_other_fold(
    correct: NDArray[np.float64], costs: NDArray[np.float64], prompts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each entry of a bin, the plan chosen on the half of the prompts it is not in."""
    choices, folds = np.empty(len(prompts), dtype=np.int64), fold_of(prompts)
    for fold in (0, 1):
        held_out = folds == fold
        # A bin of a single prompt has no other half: it is judged by itself.
        chosen_on = ~held_out if np.any(~held_out) else held_out
        choices[held_out] = cheapest_not_clearly_worse(
            correct[:, chosen_on], costs, prompts[chosen_on]
        )
    return choices
