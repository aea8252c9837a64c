"""Figures 3 and 4: search against the verifier, and its compute-optimal choice (section 5)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from benchmarks.allocation.family import SeededReplay
from benchmarks.allocation.fresh import ARITHMETIC, artifact_of
from benchmarks.allocation.measure import from_artifact
from benchmarks.curves import policy_curve, predicted
from benchmarks.figures.drawing import Figure, Panel, line_of
from benchmarks.figures.findings import Finding, Reproduced, mean_above
from benchmarks.figures.optimal import (
    AT,
    ORACLE,
    PREDICTED,
    TIMES,
    best_gain,
    bins_by,
    compute_optimal,
)
from benchmarks.figures.pools import AHEAD, FIXED, MOST, ROOT, Samples, powers
from benchmarks.targets import Interval, at_least, reported
from calibration.curves import Curve, gain, plan_curve, resamples

WEIGHTED, MAJORITY = "best-of-N weighted", "majority"
WIDE, NARROW = "beam search, M = 4", "beam search, M = √N"
LOOKS = {k: f"lookahead k = {k}, M = 4" for k in AHEAD}
SERVED = "the artifact's policy, pilots counted"
MOST_SOLUTIONS = 256
SMALL, SLIGHT = 4, 0.05  # a small budget; accuracy that is as good as nothing
GUIDES = {"the PRM alone": "PRM", "the fitted score": "score"}


def best_of(n: int) -> Plan:
    """n independent solutions."""
    return Plan(strategy="best_of_n", n=n)


def oracle_bins(samples: Samples) -> NDArray[np.int64]:
    """The bin of each prompt by pass@1 of all its independent solutions, shape (prompts,)."""
    return bins_by(samples.by_prm.pass_at_1)


def predicted_bins(samples: Samples) -> NDArray[np.int64]:
    """The bin by the PRM's mean score of them: no right answer needed, and not paid for."""
    return bins_by(
        np.array(
            [np.mean([s.score for s in r.independent.samples]) for r in samples.by_prm.records]
        )
    )


def guided(samples: Samples) -> dict[str, SeededReplay]:
    """By what guides the search."""
    return {"the PRM alone": samples.by_prm, "the fitted score": samples.by_score}


def candidates(samples: Samples, guide: str) -> list[Plan]:
    """All plans of search that were sampled."""
    looks = [plan for plans in AHEAD.values() for plan in plans] if GUIDES[guide] == "PRM" else []
    plans = [*(best_of(n) for n in powers(MOST_SOLUTIONS)), *FIXED, *ROOT, *looks]
    return list(dict.fromkeys(plans))


def methods(replay: SeededReplay, looks: bool) -> dict[str, Curve]:
    """Every method of search at every budget, by name."""
    plain = [best_of(n) for n in powers(MOST_SOLUTIONS)]
    votes = [plan.model_copy(update={"selection": MAJORITY}) for plan in plain]
    plans: dict[str, Sequence[Plan]] = {WEIGHTED: plain, MAJORITY: votes, NARROW: ROOT, WIDE: FIXED}
    if looks:
        plans = plans | {LOOKS[k]: AHEAD[k] for k in AHEAD}
    return {name: plan_curve(name, replay, of_name) for name, of_name in plans.items()}


def mean_over(curve: Curve, budgets: Sequence[int]) -> NDArray[np.float64]:
    """Accuracy of each prompt, averaged over budgets."""
    rows = [curve.budgets.index(budget) for budget in budgets]
    return np.asarray(curve.correct[rows].mean(axis=0))


def figure_3(samples: Samples) -> Reproduced:
    """Methods of search against budget, over all prompts and by bin."""
    bins = oracle_bins(samples)
    draws = resamples(len(bins))
    everyone = np.ones(len(bins), dtype=bool)
    panels, findings = [], []
    for guide, replay in guided(samples).items():
        curves = methods(replay, looks=GUIDES[guide] == "PRM")
        parts = {f"by {guide}, all prompts": everyone}
        parts |= {f"bin {b + 1}": bins == b for b in range(int(bins.max()) + 1)}
        panels += [
            Panel(
                title,
                "generations",
                [
                    line_of(curve, inside, banded=name in (WEIGHTED, WIDE))
                    for name, curve in curves.items()
                ],
            )
            for title, inside in parts.items()
        ]

        def above(
            one: str,
            other: str,
            budgets: Sequence[int],
            inside: NDArray[np.bool_] = everyone,
            curves: dict[str, Curve] = curves,
        ) -> Interval:
            values, others = (mean_over(curves[name], budgets) for name in (one, other))
            return mean_above(values, others, inside, draws)

        findings += [
            Finding(
                f"by {guide}, beam search (M = 4) is above best-of-N weighted at N = {SMALL}",
                above(WIDE, WEIGHTED, [SMALL]),
            ),
            Finding(
                f"by {guide}, it is below at N = {MOST}", above(WIDE, WEIGHTED, [MOST]), below=True
            ),
            Finding(
                f"by {guide}, it is below at N = {MOST} in the easy bins (1, 2)",
                above(WIDE, WEIGHTED, [MOST], bins <= 1),
                below=True,
            ),
            Finding(
                f"by {guide}, it is above at N = {SMALL} to {MOST} in the medium bins (3, 4)",
                above(WIDE, WEIGHTED, powers(MOST)[2:], (bins == 2) | (bins == 3)),
            ),
            Finding(
                f"by {guide}, best-of-{MOST} weighted is less than five points above one solution "
                "in the hardest bin",
                mean_above(
                    mean_over(curves[WEIGHTED], [MOST]),
                    mean_over(curves[WEIGHTED], [1]),
                    bins == bins.max(),
                    draws,
                ),
                bound=SLIGHT,
                below=True,
            ),
        ]
        if GUIDES[guide] == "PRM":
            findings += [
                Finding(
                    f"lookahead (k = {k}) is below beam search at equal cost",
                    above(name, WIDE, curves[name].budgets),
                    below=True,
                )
                for k, name in LOOKS.items()
            ]
    figure = Figure("F3", "Search against the verifier, by budget and difficulty", panels, 6)
    return Reproduced(figure, findings)


def figure_4(samples: Samples) -> Reproduced:
    """Compute-optimal search by oracle and by predicted bins, against best-of-N weighted."""
    by_oracle, by_prediction = oracle_bins(samples), predicted_bins(samples)
    draws = resamples(len(by_oracle))
    everyone = np.ones(len(by_oracle), dtype=bool)
    panels, findings, targets = [], [], []
    for guide, replay in guided(samples).items():
        plans, budgets = candidates(samples, guide), powers(MOST_SOLUTIONS)
        plain = plan_curve(WEIGHTED, replay, [best_of(n) for n in budgets])
        optimal = compute_optimal(ORACLE, replay, plans, budgets, by_oracle)
        told = compute_optimal(PREDICTED, replay, plans, budgets, by_prediction)
        curves = [plain, optimal, told]
        if GUIDES[guide] == "score":
            learned = from_artifact(artifact_of(ARITHMETIC))
            difficulty = predicted(replay, learned.difficulty)
            curves.append(policy_curve(SERVED, replay, learned.table, difficulty))
        lines = [
            line_of(c, everyone, spent=True, banded=c.name in (WEIGHTED, ORACLE)) for c in curves
        ]
        panels.append(Panel(f"by {guide}", "average generations a prompt", lines))
        at, times = best_gain(plain, optimal, draws)
        findings += [
            Finding(
                f"by {guide}, with oracle bins best-of-{at} weighted is matched with over "
                f"{TIMES:g} times less",
                times,
                unit="times",
                bound=TIMES,
            ),
            Finding(
                f"by {guide}, predicted bins are less than a point below oracle bins from {SMALL} "
                f"to {MOST} generations",
                mean_above(
                    mean_over(optimal, powers(MOST)[2:]),
                    mean_over(told, powers(MOST)[2:]),
                    everyone,
                    draws,
                ),
                bound=0.01,
                below=True,
            ),
        ]
        targets.append(
            at_least(f"F4: search by {guide}, {ORACLE}: gain at {at}", times, TIMES),
        )
        targets += [
            reported(f"F4: search by {guide}, {curve.name}: gain at {budget}", found)
            for curve in curves[1:]
            for budget in AT
            for found in [gain(plain, budget, curve, draws)]
        ]
    figure = Figure("F4", "Compute-optimal search against best-of-N weighted", panels, 2)
    return Reproduced(figure, findings, targets)
