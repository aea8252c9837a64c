"""Curves that need records of whole solutions: closed forms, and the policy's own."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from allocator.policy import Policy
from allocator.table import LookupTable
from calibration.replay.curves import Curve, averaged
from calibration.replay.outcomes import Outcomes
from calibration.replay.replay import Replay
from calibration.sampling.collect import PlanRun
from predictors.difficulty import DifficultyModel
from predictors.prompt import with_states


def exact_curve(
    name: str, replay: Replay, budgets: Sequence[int], estimator: Callable[[PlanRun, int], float]
) -> Curve:
    """A curve in closed form: an estimator of each prompt's accuracy at each n."""
    runs = [record.independent for record in replay.records]
    correct = np.array([[estimator(run, n) for run in runs] for n in budgets])
    each = np.array([run.sampled_tokens / len(run.samples) for run in runs])
    costs = np.array(budgets, dtype=float)[:, None] * np.ones(len(runs))
    tokens, flops = costs * each, np.zeros(costs.shape)
    if (sizes := replay.sizes) is not None:
        # A single solution is not scored.
        flops = sizes.sampling(1) * tokens + sizes.scoring(1) * np.where(costs > 1, tokens, 0)
    return Curve(name, tuple(budgets), correct, costs, tokens, flops)


# By number of pilots: predicted pass@1, shape (prompts, replicates).
PassAt1 = Callable[[int], NDArray[np.float64]]


def predicted(replay: Outcomes, models: Mapping[int, DifficultyModel]) -> PassAt1:
    """pass@1 as an artifact's models predict it from each replicate's pilots."""

    def after(pilots: int) -> NDArray[np.float64]:
        features = replay.features(pilots)
        if not pilots:
            features = with_states(features, replay.states)
        flat = models[pilots].predictor.predict(features.reshape(-1, features.shape[-1]))
        return np.asarray(flat.reshape(features.shape[:2]))

    return cache(after)


def policy_curve(name: str, replay: Outcomes, table: LookupTable, pass_at_1: PassAt1) -> Curve:
    """The plan that the policy looks up for every prompt and replicate, one point per row."""
    policy, outcomes, costs = Policy(table), [], []
    shape = (replay.prompts, replay.replicates)
    for row in table.rows:
        known = pass_at_1(row.pilots) if row.edges else np.zeros((replay.prompts, 1))
        values = np.broadcast_to(known, shape).ravel()
        found = np.array(policy.plans(row.budget, values, row).plans, dtype=object)
        plans = found.reshape(shape).tolist()
        outcomes.append(replay.mixed_outcome(plans, row.pilots))
        costs.append(np.array([[p.cost(row.pilots) for p in of_prompt] for of_prompt in plans]))
    return averaged(name, [row.budget for row in table.rows], outcomes, costs)
