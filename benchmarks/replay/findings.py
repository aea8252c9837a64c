"""What the curves come to: tokens at the baselines' accuracies, and the issue's targets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.replay.measure import CONSISTENT, OWN, UNIFORM, Measured
from benchmarks.targets import at_least, at_most
from calibration.replay.curves import Curve, interval, summarized, tokens_to_reach
from calibration.report.targets import Target

Values = NDArray[np.float64]  # the figure, followed by its bootstrap draws

WIDEST = 64  # thoughts of the baseline
CONFIDENCE = 0.95  # of adaptive consistency
# AutoTTS at its two settings, as published: average accuracy over AIME 2025 and HMMT February 2025,
# and tokens per question, without the forced answers of its probes.
AUTOTTS: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "Qwen3-0.6B": ((0.218, 254e3), (0.246, 481e3)),
    "Qwen3-1.7B": ((0.386, 344e3), (0.406, 646e3)),
    "Qwen3-4B": ((0.598, 349e3), (0.605, 649e3)),
    "Qwen3-8B": ((0.611, 379e3), (0.627, 711e3)),
}
SETTINGS = ("cheaper", "dearer")
SMALL = ("Qwen3-0.6B", "Qwen3-1.7B")
TIMES = {"Qwen3-0.6B": 3.3, "Qwen3-4B": 3.0, "Qwen3-8B": 3.0}  # fewer than the baseline
REACHED, WITHIN = {"Qwen3-1.7B": 0.40}, 350.0  # an accuracy, and the thousand tokens it may take
UNREACHED = 1e6  # thousand tokens, which JSON has a number for
AUTOTTS_TIMES = dict(zip(SETTINGS, (1.6, 1.4), strict=True))


def ratios(found: Measured) -> dict[str, Values]:
    """How many times fewer tokens the policy needs than each baseline, at its accuracy.

    Where the accuracy is not reached it is 0.

    Returns:
        By the baseline: `UNIFORM`, `CONSISTENT`, and of models that have them the settings of
        AutoTTS. Its published figures have no questions to resample: they stand as they are.
    """
    own, draws = found.curves[OWN], found.draws
    rows = {UNIFORM: WIDEST, CONSISTENT: CONFIDENCE}
    values = {}
    for name, budget in rows.items():
        baseline = found.curves[name]
        right, spent = at_budget(baseline, budget, draws)
        values[name] = spent / tokens_to_reach(own, right, draws)
    return values


def autotts_ratios(found: Measured, model: str) -> dict[str, Values]:
    """The same against AutoTTS; empty for models without published figures."""
    own, draws = found.curves[OWN], found.draws
    return {
        setting: tokens / tokens_to_reach(own, np.full(len(draws), accuracy), draws)
        for setting, (accuracy, tokens) in zip(SETTINGS, AUTOTTS.get(model, ()), strict=False)
    }


def at_budget(curve: Curve, budget: float, draws: NDArray[np.int64]) -> tuple[Values, Values]:
    """Accuracy and tokens of a method at one of its budgets."""
    row = curve.budgets.index(budget)
    return curve.correct[row][draws].mean(axis=1), curve.tokens[row][draws].mean(axis=1)


def row_of(found: Measured, model: str) -> dict[str, Any]:
    """A model's figures, for the page: each a value with its interval."""
    draws, row = found.draws, {}
    for name, budget in ((UNIFORM, WIDEST), (CONSISTENT, CONFIDENCE)):
        right, spent = at_budget(found.curves[name], budget, draws)
        row[name] = {"accuracy": interval(right), "tokens": interval(spent)}
    every = {**ratios(found), **autotts_ratios(found, model)}
    return {
        "model": model,
        "benchmarks": found.benchmarks,
        "questions": draws.shape[1],
        **row,
        "ratios": {name: interval(values) for name, values in every.items()},
        "curves": [
            summarized(curve, draws).model_dump(mode="json") for curve in found.curves.values()
        ],
    }


def targets_of(results: Mapping[str, Measured]) -> list[Target]:
    """The targets of the issue that the measured models allow."""
    targets = []
    for model, found in results.items():
        if model in TIMES:
            name = f"{model}: times fewer tokens than self-consistency with {WIDEST}"
            values = interval(ratios(found)[UNIFORM])
            targets.append(at_least(f"{name}, at its accuracy", values, TIMES[model]))
    for model, accuracy in REACHED.items():
        if model in results:
            own, draws = results[model].curves[OWN], results[model].draws
            tokens = tokens_to_reach(own, np.full(len(draws), accuracy), draws) / 1e3
            name = f"{model}: thousand tokens at an accuracy of {accuracy:.0%}"
            spent = interval(np.minimum(tokens, UNREACHED))
            targets.append(at_most(name, spent, WITHIN))
    if set(SMALL) <= set(results):
        against = [autotts_ratios(results[model], model) for model in SMALL]
        for setting in SETTINGS:
            name = f"mean of {' and '.join(SMALL)}: times fewer tokens than AutoTTS, {setting}"
            both = interval(_mean([found[setting] for found in against]))
            targets.append(at_least(f"{name} setting", both, AUTOTTS_TIMES[setting]))
    return targets


def _mean(values: Sequence[Values]) -> Values:
    """The geometric mean, as of ratios; 0 where one of them is."""
    return np.asarray(np.prod(values, axis=0) ** (1 / len(values)))
