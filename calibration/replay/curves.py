"""Accuracy against budget, with intervals, and what one method saves over another."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from calibration.replay.curve_summary import CurvePoint, CurveSummary, Unit
from calibration.replay.intervals import BOOTSTRAP_DRAWS, widened
from calibration.replay.monotone import costs_at, monotone
from calibration.replay.outcomes import Outcome, Outcomes
from calibration.replay.parallel import in_threads


@dataclass(frozen=True)
class Curve:
    """One method's outcomes per prompt: arrays of shape (budgets, prompts), means of replicates.

    `summarized` averages it over prompts, with intervals.

    Attributes:
        name: the method.
        budgets: the budget of each row.
        correct: accuracy.
        generations: complete solutions spent, pilots included.
        tokens: tokens sampled, pilots included; all 0 where they were not counted.
        flops: FLOPs of sampling and of scoring, pilots included; likewise.
    """

    name: str
    budgets: tuple[float, ...]
    correct: NDArray[np.float64]
    generations: NDArray[np.float64]
    tokens: NDArray[np.float64]
    flops: NDArray[np.float64]

    @property
    def units(self) -> tuple[Unit, ...]:
        """In which its cost was counted."""
        counted: list[Unit] = ["generations"]
        counted += ["tokens"] if self.tokens.any() else []
        return (*counted, "flops") if self.flops.any() else tuple(counted)

    def restricted_to(self, budgets: Collection[float]) -> "Curve":
        """The curve at those of its budgets that are among these."""
        kept = [row for row, budget in enumerate(self.budgets) if budget in budgets]
        return Curve(
            self.name,
            tuple(self.budgets[row] for row in kept),
            *(of[kept] for of in (self.correct, self.generations, self.tokens, self.flops)),
        )


def plan_curve(name: str, replay: Outcomes, plans: Sequence[Plan]) -> Curve:
    """The same plan for every prompt at each budget, without pilots."""
    outcomes = [replay.outcome(plan, 0) for plan in plans]
    costs = [
        np.full(outcome.correct.shape, plan.cost(0))
        for plan, outcome in zip(plans, outcomes, strict=True)
    ]
    return averaged(name, [plan.cost(0) for plan in plans], outcomes, costs)


def majority_curve(name: str, replay: Outcomes, budgets: Sequence[int]) -> Curve:
    """Majority voting at each budget, without a verifier: answers that tie share the win."""
    outcomes = [replay.majority(n) for n in budgets]
    costs = [
        np.full(outcome.correct.shape, n) for n, outcome in zip(budgets, outcomes, strict=True)
    ]
    return averaged(name, budgets, outcomes, costs)


def averaged(
    name: str,
    budgets: Sequence[float],
    outcomes: Sequence[Outcome],
    costs: Sequence[NDArray[np.float64]],
) -> Curve:
    """A curve from one outcome and one cost array, (prompts, replicates), per budget."""
    return Curve(
        name,
        tuple(budgets),
        np.array([outcome.correct.mean(axis=1) for outcome in outcomes]),
        np.array([cost.mean(axis=1) for cost in costs]),
        np.array([outcome.tokens.mean(axis=1) for outcome in outcomes]),
        np.array([outcome.flops.mean(axis=1) for outcome in outcomes]),
    )


def resamples(prompts: int, seed: int = 0) -> NDArray[np.int64]:
    """Bootstrap draws of prompts, shape (draws + 1, prompts); the first is all prompts in order."""
    drawn = np.random.default_rng(seed).integers(prompts, size=(BOOTSTRAP_DRAWS, prompts))
    return np.vstack([np.arange(prompts), drawn])


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Value, low and high (95%), from the value followed by its bootstrap draws."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return float(values[0]), float(low), float(high)


def accuracy(curve: Curve, row: int, draws: NDArray[np.int64]) -> tuple[float, float, float]:
    """Accuracy at one budget with its 95% interval over prompts; see `widened`."""
    values = curve.correct[row]
    return widened(*interval(values[draws].mean(axis=1)), len(values))


def summarized(curve: Curve, draws: NDArray[np.int64]) -> CurveSummary:
    """A curve as it is written to JSON: averages over prompts, accuracy with its interval."""
    points = []
    counted = curve.units
    for row, budget in enumerate(curve.budgets):
        value, low, high = accuracy(curve, row, draws)
        points.append(
            CurvePoint(
                budget=budget,
                generations=float(curve.generations[row].mean()),
                accuracy=value,
                low=low,
                high=high,
                tokens=float(curve.tokens[row].mean()) if "tokens" in counted else None,
                flops=float(curve.flops[row].mean()) if "flops" in counted else None,
            )
        )
    return CurveSummary(name=curve.name, points=tuple(points))


def saving_factor(
    baseline: Curve,
    budget: float,
    method: Curve,
    draws: NDArray[np.int64],
    unit: Unit = "generations",
    n_jobs: int | None = -1,
) -> tuple[float, float, float]:
    """The baseline's cost at a budget, divided by the method's average cost at equal accuracy.

    The method's accuracy is first made monotone in its cost (isotonic regression): the first
    crossing of a noisy curve would be biased in the method's favour. Between points it is linear in
    the cost, which is the accuracy of mixing two budgets over the prompts. The factor is 0 where
    the method does not reach the accuracy. The interval is over prompts, for a given table.

    Args:
        baseline: for example best-of-N weighted.
        budget: one of the baseline's budgets.
        method: the method compared with it.
        draws: bootstrap draws of prompts.
        unit: of the cost.
        n_jobs: see `calibration.replay.parallel`.

    Returns:
        The factor and its 95% interval over prompts.
    """
    return saving_factors(baseline, [budget], method, draws, unit, n_jobs)[0]


def saving_factors(
    baseline: Curve,
    budgets: Sequence[float],
    method: Curve,
    draws: NDArray[np.int64],
    unit: Unit,
    n_jobs: int | None = -1,
) -> list[tuple[float, float, float]]:
    """`saving_factor` at each of the budgets; each draw's curve is made monotone only once."""
    rows = [baseline.budgets.index(budget) for budget in budgets]

    def ratios(block: NDArray[np.int64]) -> NDArray[np.float64]:
        reached, costs, wanted, spent = (
            _averages(lines, block)
            for lines in (
                method.correct,
                getattr(method, unit),
                baseline.correct[rows],
                getattr(baseline, unit)[rows],
            )
        )
        return spent / costs_at(*monotone(reached, costs), wanted)

    blocks = [draws[start : start + BLOCK] for start in range(0, len(draws), BLOCK)]
    values = np.concatenate(in_threads(ratios, blocks, n_jobs), axis=1)
    return [interval(of_row) for of_row in values]


BLOCK = 250  # bootstrap draws at a time


def cost_at(reached: NDArray[np.float64], costs: NDArray[np.float64], wanted: float) -> float:
    """The smallest cost at which the monotone, piecewise linear curve reaches an accuracy."""
    found = costs_at(*monotone(reached[:, None], costs[:, None]), np.array([[wanted]]))
    return float(found[0, 0])


def tokens_to_reach(
    method: Curve, wanted: NDArray[np.float64], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The average tokens at which a method reaches an accuracy, in each bootstrap draw.

    The method's curve is read as in `saving_factor`.

    Args:
        method: the method.
        wanted: the accuracy in each draw, shape (draws,).
        draws: bootstrap draws of prompts.

    Returns:
        Shape (draws,); infinite where the accuracy is not reached.
    """
    reached, tokens = (_averages(of, draws) for of in (method.correct, method.tokens))
    return np.asarray(costs_at(*monotone(reached, tokens), wanted[None])[0])


def differences(baseline: Curve, method: Curve, draws: NDArray[np.int64]) -> list[dict[str, float]]:
    """The method's accuracy minus the baseline's at each of its budgets, paired by prompt.

    The method's curve may have other budgets too. One row per budget, with ``value`` and its 95%
    interval over prompts, ``low`` and ``high``.
    """
    of_method = method.correct[[method.budgets.index(budget) for budget in baseline.budgets]]
    return _by_budget(baseline.budgets, _averages(of_method - baseline.correct, draws))


def differences_at_cost(
    baseline: Curve, method: Curve, draws: NDArray[np.int64]
) -> list[dict[str, float]]:
    """The method's accuracy minus the baseline's where it costs as many generations on average.

    A way to spend may cost more or less than its budget. So its own curve is read at the baseline's
    cost, monotone and linear between points as in `saving_factor`. Below its cheapest point the
    line is that from no cost and nothing right; above its most expensive it is level.

    One row per budget of the baseline, as in `differences`.
    """
    reached, costs, level, spent = (
        _averages(of, draws)
        for of in (method.correct, method.generations, baseline.correct, baseline.generations)
    )
    nothing = np.zeros((1, len(draws)))
    costs, fitted = monotone(np.vstack([nothing, reached]), np.vstack([nothing, costs]))
    read = [np.interp(*at) for at in zip(spent.T, costs.T, fitted.T, strict=True)]
    return _by_budget(baseline.budgets, np.array(read).T - level)


def _averages(lines: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """The averages over each draw's prompts of values of shape (budgets, prompts)."""
    return np.array([line[draws].mean(axis=1) for line in lines])


def _by_budget(budgets: Sequence[float], values: NDArray[np.float64]) -> list[dict[str, float]]:
    """A row per budget, of values with their bootstrap draws, shape (budgets, draws)."""
    rows = []
    for budget, of_budget in zip(budgets, values, strict=True):
        value, low, high = interval(of_budget)
        rows.append({"budget": budget, "value": value, "low": low, "high": high})
    return rows
