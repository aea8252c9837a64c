"""From outcomes to lookup tables and the difficulty predictor (section 3.2)."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.curves import AccuracyCurves
from allocator.drift_baseline import DriftBaseline
from allocator.plan import Plan
from allocator.table import Fingerprint, LookupTable
from calibration.fitting.accuracy_tables import (
    accuracy_curves,
    drift_baseline_of,
    schedules_of,
)
from calibration.fitting.binned import gather
from calibration.fitting.difficulty import MIN_IN_BIN, FittedDifficulty, edges_of, fit_difficulty
from calibration.fitting.gain_model import FittedGainModel, fit_gain_model, prompt_folds
from calibration.fitting.rows import Candidate, FittedRow, best, by_best_rule
from calibration.fitting.token_table import TokenTable
from calibration.replay.outcomes import Outcomes
from calibration.replay.parallel import in_threads
from predictors.thinking_policy import ThinkingPolicy


@dataclass(frozen=True)
class Calibration:
    """Everything that calibration fits.

    Attributes:
        table: by predicted pass@1.
        oracle_table: by measured pass@1, which costs no pilots.
        difficulty: the difficulty model of each number of pilots, ascending.
        pilots: the number that the table's largest budgets take; where they take none, the
            smallest number that there is.
        rows: the predicted table's rows, with the figures of their entries.
        oracle_rows: the same of the oracle table.
        binnable_rows: the predicted table's at budgets up to `Outcomes.binned_budget`, evaluated on
            each replicate's own samples: these may be binned by measured pass@1.
        curves: accuracy and cost of every plan in every bin.
        gain_model: the gain model of adaptive runs, with the cost and accuracy of each price.
        drift_baseline: distribution of the calibration prompts' pilots.
        warnings: for users of the tables.
        tokens: the table in tokens; None where thoughts were not sampled at several depths.
        thinking: the policy over width and depth of thought; None likewise.
    """

    table: LookupTable
    oracle_table: LookupTable
    difficulty: dict[int, FittedDifficulty]
    pilots: int
    rows: tuple[FittedRow, ...]
    oracle_rows: tuple[FittedRow, ...]
    binnable_rows: tuple[FittedRow, ...]
    curves: AccuracyCurves
    gain_model: FittedGainModel
    drift_baseline: DriftBaseline
    warnings: tuple[str, ...]
    tokens: TokenTable | None = None
    thinking: ThinkingPolicy | None = None


def top_samples(budgets: Sequence[int]) -> int:
    """Samples per prompt needed to evaluate budgets; schedules need two stages, so at least 2."""
    return max(2, *budgets)


# The plans considered, given a budget and the number of pilots paid from it.
Grid = Callable[[int, int], Sequence[Plan]]


def searches_needed(budgets: Sequence[int], pilots: Sequence[int], grid: Grid) -> list[Plan]:
    """Every search that fitting these budgets needs, each once."""
    return searches_among(
        plan
        for budget in budgets
        for paid in {0, *pilots}
        if paid < budget
        for plan in grid(budget, paid)
    )


def searches_among(plans: Iterable[Plan]) -> list[Plan]:
    """The searches that plans need besides independent solutions, each once, smallest first."""
    searches = {plan.sampled for plan in plans if plan.strategy != "best_of_n"}
    return sorted(searches, key=lambda plan: (plan.n, str(plan)))


def plans_with(searches: Collection[Plan], plans: Iterable[Plan]) -> list[Plan]:
    """Those of the plans that have samples, where these searches alone were run."""
    return [p for p in plans if p.strategy == "best_of_n" or p.sampled in searches]


def fit(
    outcomes: Outcomes,
    grid: Grid,
    budgets: Sequence[int],
    pilots: Sequence[int],
    n_bins: int,
    fingerprint: Fingerprint,
    samples: int | None = None,
) -> Calibration:
    """Fit predictors, bins, tables, accuracy curves and the gain model.

    In each bin a plan is preferred over a cheaper one only if it is clearly better: a bin has many
    plans and few prompts, and the most accurate of many is often the luckiest. At each budget a
    table over predicted difficulty has either one plan for all prompts, or a number of pilots and
    one plan per bin. Plans are chosen in each bin by itself, smoothed over bins, or by accuracy
    alone: whichever was most accurate on prompts that its plans were not chosen on.

    The oracle table has one plan for all prompts at budgets beyond `outcomes.binned_budget`.

    Args:
        outcomes: replayed outcomes of plans on the calibration prompts. Fitting takes as many jobs
            as they do.
        grid: the plans considered, given a budget and the number of pilots paid from it.
        budgets: budgets of the table, in generations per prompt.
        pilots: numbers of pilots to choose among; 0 is difficulty from the prompt alone.
        n_bins: number of difficulty bins.
        fingerprint: what was measured.
        samples: independent solutions that an adaptive run may take; None is the largest budget.
    """
    measured = outcomes.pass_at_1(0).ravel()
    binned = any(budget <= outcomes.binned_budget for budget in budgets)
    oracle_edges = edges_of(measured, n_bins, outcomes.replicates) if binned else ()
    counts = sorted(set(pilots))
    outcomes.prepare(_outcomes_needed(grid, budgets, counts), counts)
    models = in_threads(lambda n: fit_difficulty(outcomes, n, n_bins), counts, outcomes.n_jobs)
    difficulty = dict(zip(counts, models, strict=True))
    rows = _fit_rows(outcomes, grid, budgets, difficulty, oracle_edges)
    # Traffic is compared by the smallest number of pilots, which every prompt has. More pilots are
    # drawn only for prompts that did not end before, the harder ones: traffic like calibration
    # would seem to have drifted.
    min_pilots = min(count for count in difficulty if count)
    row_pilots = [fitted.row.pilots for fitted in rows.predicted if fitted.row.pilots]
    edges = {f"predicted, {count} pilots": model.edges for count, model in difficulty.items()}
    top_plans, most = grid(max(budgets), 0), samples or top_samples(budgets)
    return Calibration(
        table=_table("predicted", rows.predicted, fingerprint),
        oracle_table=_table("oracle", rows.oracle, fingerprint),
        difficulty=difficulty,
        pilots=row_pilots[-1] if row_pilots else min_pilots,
        rows=tuple(rows.predicted),
        oracle_rows=tuple(rows.oracle),
        binnable_rows=tuple(rows.binnable),
        curves=accuracy_curves(outcomes, grid, max(budgets), difficulty),
        gain_model=gain_model_of(outcomes, top_plans, most),
        drift_baseline=drift_baseline_of(outcomes, difficulty[min_pilots]),
        warnings=_merged_bins(n_bins, edges | ({"oracle": oracle_edges} if binned else {})),
    )


def gain_model_of(outcomes: Outcomes, plans: Sequence[Plan], most: int) -> FittedGainModel:
    """The gain model on the best schedule. Its figures are of searches chosen on other prompts.

    Args:
        outcomes: outcomes of plans on the calibration prompts.
        plans: as of `schedules_of`.
        most: likewise.
    """
    schedules = schedules_of(outcomes, plans, most)
    of_folds = [
        schedules_of(outcomes, plans, most, train) for train, _ in prompt_folds(outcomes.prompts)
    ]
    each = dict.fromkeys((*schedules, *(schedule for found in of_folds for schedule in found)))
    runs = {schedule: outcomes.adaptive_runs(schedule) for schedule in each}
    replayed = [(schedule, runs[schedule]) for schedule in schedules]
    by_fold = [[runs[schedule] for schedule in alike] for alike in zip(*of_folds, strict=True)]
    return fit_gain_model(replayed, outcomes.n_jobs, by_fold)


def _outcomes_needed(
    grid: Grid, budgets: Sequence[int], pilots: Sequence[int]
) -> list[tuple[Plan, int]]:
    """Each plan with its number of pilots, once, in a fixed order."""
    needed = [
        (plan, paid)
        for paid in sorted({0, *pilots})
        for budget in sorted(set(budgets))
        if paid < budget or budget == max(budgets)
        for plan in grid(budget, paid)
    ]
    return list(dict.fromkeys(needed))


@dataclass(frozen=True)
class _Rows:
    """Rows of the tables, one per budget; see `Calibration` for what each list holds."""

    predicted: list[FittedRow]
    oracle: list[FittedRow]
    binnable: list[FittedRow]


def _fit_rows(
    outcomes: Outcomes,
    grid: Grid,
    budgets: Sequence[int],
    difficulty: Mapping[int, FittedDifficulty],
    oracle_edges: tuple[float, ...],
) -> _Rows:
    measured, paired = outcomes.pass_at_1(0).ravel(), outcomes.without_closed_forms

    def candidate(
        replayed: Outcomes,
        budget: int,
        pilots: int,
        edges: tuple[float, ...],
        pass_at_1: NDArray[np.float64],
    ) -> Candidate:
        bins, plans = bin_of(edges, pass_at_1), grid(budget, pilots)
        return by_best_rule(gather(replayed, plans, pilots, bins, len(edges) + 1), edges)

    def at(budget: int) -> tuple[FittedRow, FittedRow, FittedRow | None]:
        one_bin = candidate(outcomes, budget, 0, (), measured)
        binned = [
            candidate(outcomes, budget, pilots, fitted.edges, fitted.predicted)
            for pilots, fitted in difficulty.items()
            if pilots < budget and fitted.edges
        ]
        chosen, same_for_all = best([one_bin, *binned]).fitted(budget), one_bin.fitted(budget)
        if not chosen.row.pilots and chosen.row.plans == same_for_all.row.plans:
            chosen = same_for_all  # bins that change nothing need no prediction
        # A prompt's bin must not depend on the very samples that a plan is judged by.
        if budget > outcomes.binned_budget:
            return chosen, same_for_all, None
        oracle = candidate(paired, budget, 0, oracle_edges, measured).fitted(budget)
        if chosen.row.edges or paired is outcomes:
            return chosen, oracle, chosen
        return chosen, oracle, candidate(paired, budget, 0, (), measured).fitted(budget)

    found = in_threads(at, sorted(set(budgets)), outcomes.n_jobs)
    predicted, oracle, binnable = (list(rows) for rows in zip(*found, strict=True))
    return _Rows(predicted, oracle, [fitted for fitted in binnable if fitted is not None])


def _table(
    difficulty: Literal["predicted", "oracle"], rows: Sequence[FittedRow], fingerprint: Fingerprint
) -> LookupTable:
    return LookupTable(
        fingerprint=fingerprint, difficulty=difficulty, rows=tuple(fitted.row for fitted in rows)
    )


def _merged_bins(n_bins: int, edges_by_name: Mapping[str, tuple[float, ...]]) -> tuple[str, ...]:
    return tuple(
        f"{len(edges) + 1} bins of {name} difficulty instead of {n_bins}: others would have held "
        f"fewer than {MIN_IN_BIN} prompts, or prompts of equal pass@1; add prompts for more"
        for name, edges in edges_by_name.items()
        if len(edges) + 1 < n_bins
    )
