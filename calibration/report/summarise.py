"""The summary of a calibration: curves by method and bin, the predictor, and the gain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.plan import FIXED_BEAM_WIDTH, Plan, Selection, Strategy
from calibration.fitting.fit import Calibration
from calibration.fitting.rows import FittedRow
from calibration.replay.budget_replay import averages_between
from calibration.replay.curve_summary import CurvePoint, CurveSummary
from calibration.replay.curves import Curve, averaged, resamples, summarized
from calibration.replay.intervals import accuracy_interval
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.outcomes import Outcome, Outcomes
from calibration.replay.parallel import in_threads
from calibration.replay.ways import PREDICTED, WAYS, Way
from calibration.report.methods import MAJORITY
from calibration.report.savings import largest_saving, savings
from calibration.report.summary import (
    Group,
    PredictorSummary,
    Reliability,
    Summary,
)

NAMES: dict[Selection, str] = {
    "weighted": "best-of-N weighted",
    "majority": MAJORITY,
    "best": "best-of-N, greatest score",
}
BEAM_SEARCH = f"beam search, M = {FIXED_BEAM_WIDTH}"
ORACLE = "compute-optimal, oracle bins"
FITTED = "best-of-N weighted, fitted score"
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
    logged: LoggedReplay | None = None,
) -> Summary:
    """Everything that the report shows.

    Args:
        outcomes: what the tables were fitted on.
        calibration: the fitted calibration.
        source: name of what was measured, for people.
        selections: selections of best-of-n to draw; see `stronger_baseline`.
        strategies: strategies that were considered.
        samples: independent solutions per prompt.
        sampled_tokens: number of all sampled tokens.
        warnings: warnings beside the calibration's own.
        logged: of samples from a log, the same without the fitted score: votes are weighted by a
            logged score, or counted. Best-of-N weighted is of these.
    """
    methods = _methods(outcomes, calibration, calibration.rows, selections, strategies, logged)
    plain, by_way = _by_way(methods, calibration)
    measured = outcomes.pass_at_1(0)
    edges = calibration.oracle_table.rows[0].edges
    bins = bin_of(edges, measured)
    everyone = _group("all prompts", methods, measured, np.ones(measured.shape, dtype=bool))
    draws = resamples(outcomes.prompts)
    stopping = [summarized(curve, draws) for way, curve in by_way.items() if way != "bins"]
    groups = [everyone.model_copy(update={"curves": (*everyone.curves, *stopping)})]
    if edges:
        # Only outcomes on other samples than difficulty was measured on may be grouped by it.
        rows = calibration.binnable_rows
        paired = None if logged is None else logged.without_closed_forms
        binnable = _methods(
            outcomes.without_closed_forms, calibration, rows, selections, strategies, paired
        )
        groups += in_threads(
            lambda b: _group(f"bin {b + 1}", binnable, measured, bins == b),
            range(len(edges) + 1),
            outcomes.n_jobs,
        )
    ways = savings(plain, by_way, outcomes.n_jobs)
    return Summary(
        source=source,
        prompts=outcomes.prompts,
        samples=samples,
        sampled_tokens=sampled_tokens,
        baseline=plain.name,
        groups=tuple(groups),
        predictor=_predictor(outcomes, calibration, edges),
        ways=ways,
        gain=largest_saving(ways),
        warnings=(*calibration.warnings, *warnings),
    )


def cheapest_by(
    outcomes: Outcomes,
    calibration: Calibration,
    selections: Sequence[Selection],
    strategies: Sequence[Strategy],
    logged: LoggedReplay | None = None,
) -> Way:
    """The way that `summarise` finds the cheapest, without the rest of the summary.

    If none reaches an accuracy of the baseline's it is the most accurate.
    """
    methods = _methods(outcomes, calibration, calibration.rows, selections, strategies, logged)
    plain, by_way = _by_way(methods, calibration)
    if (saving := largest_saving(savings(plain, by_way, outcomes.n_jobs))) is not None:
        return saving.way
    return max(by_way, key=lambda way: by_way[way].correct.mean(1).max())


def stronger_baseline(accuracies: Mapping[str, float]) -> str:
    """The method that the ways to spend are compared with.

    Votes weighted by a poor score are less accurate than plain ones: compared with them, ways to
    spend would seem to save what counting the votes saves alone.

    Args:
        accuracies: of methods by their names, at the largest budget; majority or best-of-N weighted
            is among them.

    Returns:
        The more accurate of the two. Of equally accurate ones it is best-of-N weighted.
    """
    known = [name for name in (NAMES["weighted"], NAMES["majority"]) if name in accuracies]
    return max(known, key=accuracies.__getitem__)


@dataclass(frozen=True)
class _Method:
    """One method at each budget, for every prompt and replicate."""

    name: str
    budgets: Sequence[int]
    outcomes: Sequence[Outcome]
    costs: Sequence[NDArray[np.float64]]

    @property
    def curve(self) -> Curve:
        return averaged(self.name, self.budgets, self.outcomes, self.costs)


def _by_way(methods: Sequence[_Method], calibration: Calibration) -> tuple[Curve, dict[Way, Curve]]:
    """The baseline's curve, and the curve of each way to spend, its accuracy held out."""
    baselines = (NAMES["weighted"], NAMES["majority"])
    curves = {method.name: method.curve for method in methods if method.name in baselines}
    last = {name: float(curve.correct[-1].mean()) for name, curve in curves.items()}
    plain, by_bins = curves[stronger_baseline(last)], methods[-1].curve
    early = calibration.gain_model.held_out_curves(averages_between(by_bins.budgets))
    return plain, dict(zip(WAYS, (by_bins, *early), strict=True))


def _methods(
    outcomes: Outcomes,
    calibration: Calibration,
    rows: Sequence[FittedRow],
    selections: Sequence[Selection],
    strategies: Sequence[Strategy],
    logged: LoggedReplay | None,
) -> list[_Method]:
    """All methods at the budgets of the given rows of the predicted table, which comes last."""
    shape = outcomes.prompts, outcomes.replicates
    budgets = [fitted.row.budget for fitted in rows]

    def fixed(name: str, plans: Sequence[Plan], found: Sequence[Outcome]) -> _Method:
        costs = [plan.cost(0) for plan in plans]
        return _Method(name, costs, found, [np.full(shape, float(cost)) for cost in costs])

    def fitted(name: str, every: Sequence[FittedRow]) -> _Method:
        """A table's rows: accuracy on prompts that they were not chosen on, and what they cost."""
        within = [row for row in every if row.row.budget in budgets]
        return _Method(
            name,
            [row.row.budget for row in within],
            [row.outcome(shape) for row in within],
            [row.costs.reshape(shape) for row in within],
        )

    def best_of_n(replayed: Outcomes, selection: Selection, name: str) -> _Method:
        plans = [Plan(strategy="best_of_n", n=n, selection=selection) for n in budgets]
        # In a plan the verifier breaks majority's ties; the majority method has no verifier.
        found = [
            replayed.majority(plan.n) if selection == "majority" else replayed.outcome(plan, 0)
            for plan in plans
        ]
        return fixed(name, plans, found)

    methods, names = [], NAMES
    if logged is not None and "weighted" in selections:
        names = NAMES | {"weighted": FITTED}
        if "weighted" in logged.selections:
            methods.append(best_of_n(logged, "weighted", NAMES["weighted"]))
        else:  # nothing but answers and lengths: without a fit, votes are counted
            selections = sorted(selections, key=lambda selection: selection != "majority")
    methods += [best_of_n(outcomes, selection, names[selection]) for selection in selections]
    if "beam_search" in strategies:
        # Of the sampled plans without pilots, those that cost a budget exactly.
        sampled = calibration.curves.after(0).plans
        wide = [
            Plan(strategy="beam_search", n=b, beam_width=FIXED_BEAM_WIDTH)
            for b in budgets
            if b % FIXED_BEAM_WIDTH == 0
        ]
        plans = [plan for plan in wide if plan in sampled]
        if plans:
            found = [outcomes.outcome(plan, 0) for plan in plans]
            methods.append(fixed(BEAM_SEARCH, plans, found))
    return [
        *methods,
        fitted(ORACLE, calibration.oracle_rows),
        fitted(PREDICTED, rows),
    ]


def _group(
    name: str,
    methods: Sequence[_Method],
    measured: NDArray[np.float64],
    inside: NDArray[np.bool_],
) -> Group:
    """Curves of some prompts and replicates, shape (prompts, replicates)."""
    prompts = np.nonzero(inside)[0]
    curves = []
    for method in methods:
        points = []
        for budget, outcome, costs in zip(
            method.budgets, method.outcomes, method.costs, strict=True
        ):
            accuracy, low, high = accuracy_interval(outcome.correct[inside], prompts)
            tokens, flops = outcome.tokens[inside], outcome.flops[inside]
            points.append(
                CurvePoint(
                    budget=budget,
                    generations=float(costs[inside].mean()),
                    accuracy=accuracy,
                    low=low,
                    high=high,
                    tokens=float(tokens.mean()) if tokens.any() else None,
                    flops=float(flops.mean()) if flops.any() else None,
                )
            )
        curves.append(CurveSummary(name=method.name, points=tuple(points)))
    return Group(
        name=name,
        prompts=len(np.unique(prompts)),
        easiest=float(measured[inside].max()),
        hardest=float(measured[inside].min()),
        curves=tuple(curves),
    )


def tenths(predicted: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Entries in about ten groups of about equal sizes, by ascending prediction.

    Equal predictions are in one group: parted by the prompts' order they would be groups of other
    prompts, not of other predictions.

    Args:
        predicted: predictions, shape (entries,).
    """
    rounded = np.round(predicted, 9)  # what is left is rounding
    _, alike, counts = np.unique(rounded, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(predicted)
    group = (middle * RELIABILITY_POINTS).astype(int)[alike]
    return [np.flatnonzero(group == number) for number in np.unique(group)]


def _predictor(
    outcomes: Outcomes, calibration: Calibration, edges: Sequence[float]
) -> PredictorSummary:
    known = calibration.difficulty[calibration.pilots]
    predicted = known.predicted.reshape(outcomes.prompts, outcomes.replicates)
    measured = outcomes.pass_at_1(calibration.pilots).ravel()
    prompts = np.repeat(np.arange(outcomes.prompts), outcomes.replicates)
    reliability = []
    for part in tenths(known.predicted):
        mean, low, high = accuracy_interval(measured[part], prompts[part])
        reliability.append(
            Reliability(
                predicted=float(predicted.ravel()[part].mean()),
                measured=mean,
                low=low,
                high=high,
                prompts=len(np.unique(prompts[part])),
            )
        )
    # Predictions are shrunk towards the mean: each kind is cut at its own quantiles.
    oracle_bins, count = bin_of(edges, measured), len(edges) + 1
    held = np.bincount(oracle_bins, minlength=count)
    of = bin_of(np.quantile(predicted, 1 - np.cumsum(held)[:-1] / len(measured)), known.predicted)
    # The edges are of samples that may be pilots here: what is left of them may miss a bin.
    confusion = [
        np.bincount(of[oracle_bins == b], minlength=count) / max(1, held[b]) for b in range(count)
    ]
    return PredictorSummary(
        pilots=calibration.pilots,
        rank_correlation=known.rank_correlation,
        reliability=tuple(reliability),
        confusion=tuple(tuple(map(float, row)) for row in confusion),
        measured_by=outcomes.pass_at_1_samples(calibration.pilots),
    )
