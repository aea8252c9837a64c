"""The summary of a calibration: curves by method and bin, the predictor, and what is gained."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.plan import FIXED_BEAM_WIDTH, Plan, Selection, Strategy
from calibration.crossval import mean_interval
from calibration.curves import Curve, averaged, gain, plan_curve, resamples
from calibration.evaluate import Outcome, Outcomes
from calibration.fit import Calibration, FittedRow
from calibration.summary import Curve as CurveSummary
from calibration.summary import (
    Gain,
    Group,
    Point,
    PredictorSummary,
    Reliability,
    Summary,
)

NAMES: dict[Selection, str] = {
    "weighted": "best-of-N weighted",
    "majority": "majority",
    "best": "best-of-N, greatest score",
}
PREDICTED, ORACLE = "compute-optimal, predicted bins", "compute-optimal, oracle bins"
RELIABILITY_POINTS = 10


def summarise(
    outcomes: Outcomes,
    calibration: Calibration,
    *,
    source: str,
    selections: Sequence[Selection],
    strategies: Sequence[Strategy],
    samples: int,
    sampled_tokens: int,
    warnings: Sequence[str] = (),
) -> Summary:
    """Everything that the report shows.

    Args:
        outcomes: what the tables were fitted on.
        calibration: what came of it.
        source: what was measured, for people.
        selections: selections of best-of-n to draw, the baseline first.
        strategies: strategies that took part.
        samples: independent solutions a prompt.
        sampled_tokens: tokens sampled in all.
        warnings: more of them.
    """
    budgets = [row.budget for row in calibration.table.rows]
    baseline = NAMES[selections[0]]
    curves = [
        plan_curve(
            NAMES[selection],
            outcomes,
            [Plan(strategy="best_of_n", n=n, selection=selection) for n in budgets],
        )
        for selection in selections
    ]
    if "beam_search" in strategies:
        # Those that were sampled: of the plans without pilots, these cost a budget exactly.
        sampled = calibration.curves.after(0).plans
        wide = [
            Plan(strategy="beam_search", n=b, beam_width=FIXED_BEAM_WIDTH)
            for b in budgets
            if b % FIXED_BEAM_WIDTH == 0
        ]
        plans = [plan for plan in wide if plan in sampled]
        if plans:
            curves.append(plan_curve(f"beam search, M = {FIXED_BEAM_WIDTH}", outcomes, plans))
    curves += [
        _held_out(ORACLE, calibration.oracle_rows, outcomes),
        _held_out(PREDICTED, calibration.rows, outcomes),
    ]
    difficulty = outcomes.pass_at_1
    edges = calibration.oracle_table.rows[-1].edges
    bins = bin_of(edges, difficulty)
    groups = [_group("all prompts", curves, difficulty, np.arange(outcomes.prompts))]
    if edges:
        groups += [
            _group(f"bin {b + 1}", curves, difficulty, np.flatnonzero(bins == b))
            for b in range(len(edges) + 1)
        ]
    return Summary(
        source=source,
        prompts=outcomes.prompts,
        samples=samples,
        sampled_tokens=sampled_tokens,
        baseline=baseline,
        groups=tuple(groups),
        predictor=_predictor(outcomes, calibration, bins),
        gain=saving(next(c for c in curves if c.name == baseline), curves[-1]),
        warnings=(*calibration.warnings, *warnings),
    )


def _held_out(name: str, rows: Sequence[FittedRow], outcomes: Outcomes) -> Curve:
    """A table's curve from what its rows do on prompts that they were not chosen on."""
    shape = outcomes.prompts, outcomes.replicates
    return averaged(
        name,
        [fitted.row.budget for fitted in rows],
        [Outcome(f.correct.reshape(shape), f.tokens.reshape(shape)) for f in rows],
        [fitted.costs.reshape(shape) for fitted in rows],
    )


def _group(
    name: str,
    curves: Sequence[Curve],
    difficulty: NDArray[np.float64],
    inside: NDArray[np.int64],
) -> Group:
    shown = []
    for curve in curves:
        points = []
        for budget, correct, generations in zip(
            curve.budgets, curve.correct, curve.generations, strict=True
        ):
            accuracy, low, high = mean_interval(correct[inside], inside)
            points.append(
                Point(
                    budget=budget,
                    generations=float(generations[inside].mean()),
                    accuracy=accuracy,
                    low=low,
                    high=high,
                )
            )
        shown.append(CurveSummary(name=curve.name, points=tuple(points)))
    return Group(
        name=name,
        prompts=len(inside),
        easiest=float(difficulty[inside].max()),
        hardest=float(difficulty[inside].min()),
        curves=tuple(shown),
    )


def _predictor(
    outcomes: Outcomes, calibration: Calibration, oracle_bins: NDArray[np.int64]
) -> PredictorSummary:
    known = calibration.difficulty[calibration.pilots]
    predicted = known.predicted.reshape(outcomes.prompts, outcomes.replicates)
    measured = np.repeat(outcomes.pass_at_1, outcomes.replicates)
    prompts = np.repeat(np.arange(outcomes.prompts), outcomes.replicates)
    parts = np.array_split(np.argsort(predicted.ravel(), kind="stable"), RELIABILITY_POINTS)
    reliability = []
    for part in parts:
        mean, low, high = mean_interval(measured[part], prompts[part])
        reliability.append(
            Reliability(
                predicted=float(predicted.ravel()[part].mean()),
                measured=mean,
                low=low,
                high=high,
                prompts=len(np.unique(prompts[part])),
            )
        )
    # Predictions are drawn in to the middle: for like bins, each kind is cut at its own quantiles.
    count = int(oracle_bins.max()) + 1
    shares = np.cumsum(np.bincount(oracle_bins, minlength=count))[:-1] / len(oracle_bins)
    edges = np.quantile(predicted, 1 - shares)
    of = bin_of(edges, predicted)
    confusion = [
        np.bincount(of[oracle_bins == b].ravel(), minlength=count) / of[oracle_bins == b].size
        for b in range(count)
    ]
    return PredictorSummary(
        pilots=calibration.pilots,
        rank_correlation=known.rank_correlation,
        reliability=tuple(reliability),
        confusion=tuple(tuple(map(float, row)) for row in confusion),
    )


def saving(best_of_n: Curve, allocated: Curve) -> Gain | None:
    """At the greatest accuracy of best-of-N that compute-optimal reaches; None if it reaches none.

    The accuracy is looked for among the baseline's budgets.
    """
    draws = resamples(best_of_n.correct.shape[1])
    means = best_of_n.correct.mean(1)
    for row in np.argsort(-means, kind="stable"):
        times, low, high = gain(best_of_n, best_of_n.budgets[int(row)], allocated, draws)
        if times > 0:
            spent = float(best_of_n.generations[int(row)].mean())
            return Gain(
                accuracy=float(means[row]),
                generations=spent / times,
                baseline=spent,
                times=times,
                low=low,
                high=high,
            )
    return None
