"""The base model's accuracy over FLOPs beside the larger model's (section 7): what figure 9 draws,
and what it measures on the further test prompts, where the two differ by little.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.allocation.family import SeededReplay
from benchmarks.figures.findings import mean_above
from benchmarks.figures.larger import GREEDY, larger_correct
from benchmarks.figures.optimal import ORACLE, at_budget, bins_by, compute_optimal
from benchmarks.figures.pools import SMALL_N, Samples, powers
from benchmarks.figures.search import OWN_SIZE, best_of, candidates
from calibration.replay.curves import Curve, averaged, interval, plan_curve, resamples
from calibration.replay.replay import Replay
from calibration.report.targets import Interval


@dataclass(frozen=True)
class Compared:
    """Test-time compute of the base model beside the larger model's first answers.

    Attributes:
        curve: of the base model, over FLOPs.
        larger: whether each training of the larger model is right on the same prompts, shape
            (prompts, trainings).
        bins: of those prompts, shape (prompts,).
    """

    curve: Curve
    larger: NDArray[np.float64]
    bins: NDArray[np.int64]

    def above(self, budget: float, inside: NDArray[np.bool_]) -> Interval:
        """The base model's accuracy at a budget minus the larger model's, over some prompts.

        The larger model's is the average of its trainings; the interval is over prompts.
        """
        draws = resamples(len(self.bins))
        return mean_above(at_budget(self.curve, budget), self.larger.mean(axis=1), inside, draws)

    def above_drawn(self, budget: float, inside: NDArray[np.bool_]) -> Interval:
        """As `above`; the interval is over prompts and trainings."""
        draws, trainings = resamples(len(self.bins)), resamples(self.larger.shape[1], seed=1)
        paired = np.where(inside, at_budget(self.curve, budget) - self.larger.T, 0.0)
        sums = np.stack([values[draws].sum(axis=1) for values in paired], axis=1)
        of_trainings = sums / np.maximum(inside[draws].sum(axis=1), 1)[:, None]
        return interval(np.take_along_axis(of_trainings, trainings, axis=1).mean(axis=1))


def in_solutions(curve: Curve, flops: float) -> Curve:
    """The curve with FLOPs as its budgets and its cost, sampling and scoring together.

    Args:
        curve: of the base model.
        flops: of sampling one solution, the unit.
    """
    spent = curve.flops / flops
    ascending = np.argsort(spent.mean(axis=1), kind="stable")
    return replace(
        curve,
        budgets=tuple(spent.mean(axis=1)[ascending].tolist()),
        correct=curve.correct[ascending],
        generations=spent[ascending],
        tokens=curve.tokens[ascending],
        flops=curve.flops[ascending],
    )


def one_solution(replay: Replay) -> float:
    """Average FLOPs of a single solution, which needs no verifier."""
    return float(plan_curve("one solution", replay, [best_of(1)]).flops.mean())


def small_searches(samples: Samples) -> Compared:
    """Small searches by the PRM of the base's own size, on the further prompts."""
    replay = samples.small
    bins = bins_by(replay.pass_at_1_by_prompt)
    curve = compute_optimal(ORACLE, replay, candidates(OWN_SIZE), powers(SMALL_N), bins)
    return _compared(replay, curve, bins)


def chosen_revisions(samples: Samples) -> Compared:
    """On the further prompts, the ratios of revisions that were chosen on the first ones."""
    replay = samples.chosen
    # Each prompt has one plan a budget, its bin's.
    plans = [sorted(record.repeats[0], key=lambda plan: plan.n) for record in replay.records]
    tried = [
        replay.mixed_outcome([[plan] * replay.replicates for plan in of_budget], 0)
        for of_budget in zip(*plans, strict=True)
    ]
    budgets = [plan.n for plan in plans[0]]
    costs = [np.full(outcome.correct.shape, n) for n, outcome in zip(budgets, tried, strict=True)]
    curve = averaged(ORACLE, budgets, tried, costs)
    return _compared(replay, curve, bins_by(replay.pass_at_1_by_prompt))


def _compared(replay: SeededReplay, curve: Curve, bins: NDArray[np.int64]) -> Compared:
    greedy = larger_correct(GREEDY, [record.prompt for record in replay.records])
    return Compared(in_solutions(curve, one_solution(replay)), greedy, bins)
