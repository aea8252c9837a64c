"""From collected records to lookup tables and the difficulty predictor (section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allocator.bins import DifficultyBins, bin_of
from allocator.plan import Plan, plan_grid
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable
from calibration.crossval import choose, fold_of, mean_interval
from calibration.evaluate import Replay
from predictors.learned import DifficultyPredictor, out_of_fold_predictions


@dataclass(frozen=True)
class Calibration:
    """What calibration makes.

    Attributes:
        table: over predicted difficulty.
        oracle_table: over oracle difficulty, which costs no pilots.
        predictor: fitted on every prompt.
        out_of_fold: predictions by predictors that never saw the prompt, shape
            (prompts, replicates).
    """

    table: LookupTable
    oracle_table: LookupTable
    predictor: DifficultyPredictor
    out_of_fold: NDArray[np.float64]


def searches_needed(budgets: Sequence[int], pilots: int) -> list[Plan]:
    """Every beam search that fitting these budgets will ask for, each once."""
    plans = {
        plan
        for budget in budgets
        for paid in (0, pilots)
        if paid < budget
        for plan in plan_grid(budget, paid)
        if plan.strategy == "beam_search"
    }
    return sorted(plans, key=lambda plan: (plan.n, plan.beam_width))


def fit(
    replay: Replay, budgets: Sequence[int], pilots: int, n_bins: int, fingerprint: Fingerprint
) -> Calibration:
    """Fit predictor, bins and tables.

    At each budget a table over predicted difficulty either takes pilots and has a plan a bin, or
    takes none and has one plan for all, whichever was more accurate in cross-validation.

    Args:
        replay: the calibration records.
        budgets: budgets of the table, in generations.
        pilots: pilot samples a prompt.
        n_bins: difficulty bins.
        fingerprint: what the records were sampled with.
    """
    count, replicates = len(replay.records), replay.replicates
    prompts = np.repeat(np.arange(count), replicates)
    features = replay.features(pilots).reshape(count * replicates, -1)
    oracle = np.repeat(replay.pass_at_1, replicates)
    predicted = out_of_fold_predictions(features, oracle, prompts)

    table_rows, oracle_rows = [], []
    everyone = np.zeros(len(prompts))
    for budget in sorted(set(budgets)):
        row = _row(replay, budget, 0, everyone, prompts, 1)
        if budget > pilots:
            piloted = _row(replay, budget, pilots, predicted, prompts, n_bins)
            if _accuracy(piloted, predicted) >= _accuracy(row, everyone):
                row = piloted
        table_rows.append(row)
        oracle_rows.append(_row(replay, budget, 0, oracle, prompts, n_bins))
    return Calibration(
        _table("predicted", table_rows, fingerprint),
        _table("oracle", oracle_rows, fingerprint),
        DifficultyPredictor().fit(features, oracle),
        predicted.reshape(count, replicates),
    )


def _table(
    difficulty: Literal["predicted", "oracle"], rows: list[BudgetRow], fingerprint: Fingerprint
) -> LookupTable:
    return LookupTable(fingerprint=fingerprint, difficulty=difficulty, rows=tuple(rows))


def _accuracy(row: BudgetRow, difficulty: NDArray[np.float64]) -> float:
    """Cross-validated accuracy of a whole row, its cells weighted by the entries they hold."""
    bins = bin_of(row.edges, difficulty)
    return float(np.mean(np.array([cell.accuracy for cell in row.cells])[bins]))


def _row(
    replay: Replay,
    budget: int,
    pilots: int,
    difficulty: NDArray[np.float64],
    prompts: NDArray[np.int64],
    n_bins: int,
) -> BudgetRow:
    plans = plan_grid(budget, pilots)
    outcomes = [replay.outcome(plan, pilots) for plan in plans]
    correct = np.array([outcome.correct.ravel() for outcome in outcomes])
    tokens = np.array([outcome.tokens.ravel() for outcome in outcomes])
    costs = [plan.cost(pilots) for plan in plans]
    fitted = DifficultyBins(n_bins).fit(difficulty)
    bins = fitted.transform(difficulty)
    # An edge at the very top or bottom can leave a bin empty: such an edge goes.
    held = [b for b in range(len(fitted.edges_) + 1) if np.any(bins == b)]
    edges = [float(fitted.edges_[b - 1]) for b in held[1:]]
    cells = [
        _cell(plans, correct[:, bins == b], tokens[:, bins == b], costs, prompts[bins == b])
        for b in held
    ]
    return BudgetRow(budget=budget, pilots=pilots, edges=tuple(edges), cells=tuple(cells))


def _cell(
    plans: list[Plan],
    correct: NDArray[np.float64],
    tokens: NDArray[np.float64],
    costs: list[int],
    prompts: NDArray[np.int64],
) -> Cell:
    """Choose on all prompts of the bin; report what choosing on one half gives on the other."""
    reported = np.empty(len(prompts))
    for fold in (0, 1):
        held_out = fold_of(prompts) == fold
        chosen_on = ~held_out if np.any(~held_out) else held_out
        if np.any(held_out):
            choice = choose(correct[:, chosen_on], costs, prompts[chosen_on])
            reported[held_out] = correct[choice, held_out]
    accuracy, low, high = mean_interval(reported, prompts)
    chosen = choose(correct, costs, prompts)
    return Cell(
        plan=plans[chosen],
        accuracy=accuracy,
        low=low,
        high=high,
        generations=costs[chosen],
        tokens=float(tokens[chosen].mean()),
        prompts=len(np.unique(prompts)),
    )
