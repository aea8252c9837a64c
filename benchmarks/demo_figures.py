"""The demo's figures: accuracy and cost of both methods, with intervals over prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.replay.curves import cost_at, interval, resamples
from runtime.answers.selection import select
from runtime.result import Result

SEED = 11
BUDGET = 64  # of best-of-N
SMALLER = (1, 2, 4, 8, 16, 32)  # budgets of best-of-N that are computed from the same samples
SUBSETS = 50  # random subsets per prompt, over which these are averaged
DIFFICULTIES = 5  # number of groups of prompts that results are shown for


@dataclass(frozen=True)
class Prompt:
    """A held-out prompt, its right answer, and its true pass@1."""

    text: str
    gold: str
    pass_at_1: float


def measure(
    prompts: Sequence[Prompt], policy: Sequence[Result], plain: Sequence[Result]
) -> dict[str, Any]:
    """Accuracy and cost of both methods, with 95% intervals over prompts, as JSON.

    Args:
        prompts: the prompts.
        policy: the policy's results, in this order.
        plain: results of best-of-N.
    """
    draws = resamples(len(prompts))
    ours, theirs = correct(prompts, policy), correct(prompts, plain)
    curve = smaller_budgets(prompts, plain, theirs)
    reached, wanted = curve[:, draws].mean(axis=2), ours[draws].mean(axis=1)
    costs = np.array([*SMALLER, BUDGET], dtype=float)
    # Where best-of-N does not reach the accuracy, its whole budget counts as the cost.
    matched = [min(cost_at(reached[:, i], costs, wanted[i]), BUDGET) for i in range(len(draws))]
    gains = {}
    fields = {"generations": "generations", "tokens": "sampled_tokens", "flops": "flops"}
    for unit, field in fields.items():
        spent = [np.array([getattr(r.receipt, field) for r in rs]) for rs in (policy, plain)]
        gains[unit] = interval(spent[1][draws].sum(axis=1) / spent[0][draws].sum(axis=1))
    return {
        "accuracy": [_bounds(interval(right[draws].mean(axis=1))) for right in (ours, theirs)],
        "gains": {unit: _bounds(found) for unit, found in gains.items()},
        "difference": _bounds(interval((ours - theirs)[draws].mean(axis=1))),
        "matched": _bounds(interval(np.array(matched))),
        "curve": [
            {"generations": cost, **_bounds(interval(row))}
            for cost, row in zip(costs.tolist(), reached, strict=True)
        ],
        "difficulty": by_difficulty(prompts, policy, ours, theirs),
    }


def correct(prompts: Sequence[Prompt], results: Sequence[Result]) -> NDArray[np.float64]:
    """1 for each prompt that was answered right, 0 for the others."""
    pairs = zip(prompts, results, strict=True)
    return np.array([float(result.answer == prompt.gold) for prompt, result in pairs])


def smaller_budgets(
    prompts: Sequence[Prompt], plain: Sequence[Result], whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Accuracy of best-of-N with fewer of the same samples, averaged over random subsets.

    Returns:
        Shape (budgets, prompts), the last row for all of the samples.
    """
    rng = np.random.default_rng(SEED)
    found = np.zeros((len(SMALLER) + 1, len(prompts)))
    found[-1] = whole
    for column, (prompt, result) in enumerate(zip(prompts, plain, strict=True)):
        for _ in range(SUBSETS):
            shuffled = [result.ranked[i] for i in rng.permutation(len(result.ranked))]
            for row, count in enumerate(SMALLER):
                found[row, column] += select(shuffled[:count]).answer == prompt.gold
    found[:-1] /= SUBSETS
    return found


def by_difficulty(
    prompts: Sequence[Prompt],
    policy: Sequence[Result],
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
) -> list[dict[str, float]]:
    """Compute spent on groups of prompts of similar difficulty, the easiest first."""
    order = np.argsort([-prompt.pass_at_1 for prompt in prompts], kind="stable")
    true = np.array([prompt.pass_at_1 for prompt in prompts])
    spent = np.array([result.receipt.generations for result in policy])
    return [
        {
            "prompts": len(group),
            "pass_at_1": float(true[group].mean()),
            "generations": float(spent[group].mean()),
            "accuracy": float(ours[group].mean()),
            "baseline": float(theirs[group].mean()),
        }
        for group in np.array_split(order, min(DIFFICULTIES, len(order)))
    ]


def _bounds(found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), found, strict=True))
