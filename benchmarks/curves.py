"""The curves that only records of whole solutions can give: exact ones, and a table's."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.table import LookupTable
from calibration.collect import Run
from calibration.curves import Curve, averaged
from calibration.evaluate import Replay


def exact_curve(
    name: str, replay: Replay, budgets: Sequence[int], estimator: Callable[[Run, int], float]
) -> Curve:
    """A curve in closed form: the estimator of each prompt's independent solutions at each n."""
    runs = [record.independent for record in replay.records]
    correct = np.array([[estimator(run, n) for run in runs] for n in budgets])
    each = np.array([run.sampled_tokens / len(run.samples) for run in runs])
    costs = np.array(budgets, dtype=float)[:, None] * np.ones(len(runs))
    return Curve(name, tuple(budgets), correct, costs, costs * each)


def policy_curve(
    name: str, replay: Replay, table: LookupTable, difficulty: NDArray[np.float64]
) -> Curve:
    """The table's plan for every prompt and replicate, by its difficulty (same shape)."""
    outcomes, costs = [], []
    for row in table.rows:
        bins = bin_of(row.edges, difficulty)
        plans = [[row.cells[b].plan for b in of_prompt] for of_prompt in bins]
        outcomes.append(replay.mixed_outcome(plans, row.pilots))
        costs.append(np.array([[p.cost(row.pilots) for p in of_prompt] for of_prompt in plans]))
    return averaged(name, [row.budget for row in table.rows], outcomes, costs)
