"""Figure 9: test-time compute against pretraining a larger model, at equal FLOPs (section 7).

The verifier's FLOPs count. The paper leaves them out; here the verifier may be larger than the base
model. What differs by little from the larger model is measured on the further test prompts:
searches by the PRM of the base's own size at the greatest ratio, revisions at the smallest.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from allocator.flops import STUDIED
from benchmarks.figures.drawing import Figure, Line, Panel, line_of
from benchmarks.figures.equal_flops import (
    Compared,
    chosen_revisions,
    in_solutions,
    one_solution,
    small_searches,
)
from benchmarks.figures.findings import Finding, Reproduced
from benchmarks.figures.larger import GREEDY, PRETRAINING, SEEDS, WARM, Pretraining, larger_correct
from benchmarks.figures.optimal import ORACLE, compute_optimal, needed
from benchmarks.figures.pools import MAX_N, Samples, powers, ratios
from benchmarks.figures.search import OWN_SIZE, candidates, guided, oracle_bins, parts_of
from calibration.replay.curves import Curve, interval, resamples
from calibration.report.targets import Interval, Target, reported

# Represents any ratio, however large.
ANY_RATIO = 1000.0
SEARCH, REVISED = "search by {}", "revisions"
LARGER = "larger model, greedy"
SPENT = "FLOPs, in solutions"  # of the base model


def test_time(samples: Samples, bins: NDArray[np.int64]) -> dict[str, Curve]:
    """Compute-optimal curves of the base model, by kind of test-time compute, over FLOPs.

    They end where searches and revisions do: with best-of-N alone, more would be worse.
    """
    revised = [plan for n in powers(MAX_N) for plan in ratios(n)]
    curves = {
        REVISED: compute_optimal(ORACLE, samples.revised, revised, powers(MAX_N), bins),
    }
    for guide, replay in guided(samples).items():
        curves[SEARCH.format(guide)] = compute_optimal(
            ORACLE, replay, candidates(guide), powers(MAX_N), bins
        )
    one = one_solution(samples.by_prm)
    return {name: in_solutions(curve, one) for name, curve in curves.items()}


def figure_9(samples: Samples) -> Reproduced:
    """Compute-optimal test-time compute of the base model against the larger one's first answer.

    Raises:
        InputError: the larger model has not been sampled.
    """
    pretraining = Pretraining.load(PRETRAINING)
    prompts = [record.prompt for record in samples.by_prm.records]
    of_trainings, warm = (larger_correct(path, prompts) for path in (GREEDY, WARM))
    greedy = of_trainings.mean(axis=1)
    bins = oracle_bins(samples)
    curves = test_time(samples, bins)
    draws = resamples(len(bins))
    budgets = {ratio: pretraining.budget(ratio) for ratio in STUDIED}
    small, great = min(STUDIED), max(STUDIED)
    searched, revised = small_searches(samples), chosen_revisions(samples)
    parts = parts_of(bins)
    panels: list[Panel] = []
    findings: list[Finding] = []
    drawn: list[Finding] = []
    targets: list[Target] = []
    rows = []
    for name, curve in curves.items():
        compared = Compared(curve, of_trainings, bins)
        at_small = revised if name == REVISED else compared
        at_great = searched if name == SEARCH.format(OWN_SIZE) else compared
        for part, inside in parts.items():
            panels.append(_panel(f"{name}, {part}", curve, inside, greedy, budgets))
            for ratio, budget in budgets.items():
                found = Finding(f"{name} beats the larger model", compared.above(budget, inside))
                row = {"method": name, "prompts": part, "ratio": ratio, "generations": budget}
                rows.append(row | {"measured": found.measured, "verdict": found.verdict})
        findings += tested(name, at_small, at_great, budgets, Compared.above)
        drawn += tested(name, at_small, at_great, budgets, Compared.above_drawn)
        targets.append(
            reported(
                f"F9: {name}: R up to which it beats the larger model at equal FLOPs "
                f"({ANY_RATIO:g}: any)",
                crossover(pretraining, curve, greedy, draws),
            )
        )
    targets += [
        *_larger_model(pretraining, of_trainings, warm, draws),
        reported(
            f"F9: further test prompts, for {REVISED} at R = {small} and "
            f"{SEARCH.format(OWN_SIZE)} at R = {great:g}",
            (len(searched.bins),) * 3,
        ),
        reported(
            "F9: larger model, greedy accuracy on these",
            interval(searched.larger.mean(axis=1)[resamples(len(searched.bins))].mean(axis=1)),
        ),
    ]
    return Reproduced(
        Figure(
            "F9",
            "Test-time compute against a larger model, in FLOPs of a solution of the base model; "
            "its marks are at equal FLOPs, R = "
            + ", ".join(f"{ratio:g}" for ratio in sorted(STUDIED, reverse=True)),
            panels,
            len(parts),
        ),
        findings,
        targets,
        {
            "pretraining": pretraining.model_dump(),
            "budgets": budgets,
            "differences": rows,
            "trainings_drawn": [finding.row() for finding in drawn],
        },
    )


def _panel(
    title: str,
    curve: Curve,
    inside: NDArray[np.bool_],
    greedy: NDArray[np.float64],
    budgets: Mapping[float, float],
) -> Panel:
    """A method's curve on some prompts, and the larger model's first answers at equal FLOPs."""
    own = resamples(int(inside.sum()))
    level = interval(greedy[inside][own].mean(axis=1))
    larger = Line(LARGER, sorted(budgets.values()), [level] * 3)
    return Panel(title, SPENT, [line_of(curve, inside, banded=True), larger])


def _larger_model(
    pretraining: Pretraining,
    of_trainings: NDArray[np.float64],
    warm: NDArray[np.float64],
    draws: NDArray[np.int64],
) -> list[Target]:
    """What the larger model is: its size, its pretraining, and its accuracy by itself."""
    trained = pretraining.tokens / pretraining.base_tokens
    greedy = of_trainings.mean(axis=1)
    return [
        reported("F9: larger model's parameters over the base model's", (pretraining.scale,) * 3),
        reported("F9: tokens it was pretrained on over the base model's", (trained,) * 3),
        reported("F9: larger model, greedy accuracy", interval(greedy[draws].mean(axis=1))),
        *(
            reported(
                f"F9: larger model, greedy accuracy of training {seed}",
                interval(correct[draws].mean(axis=1)),
            )
            for seed, correct in zip(SEEDS, of_trainings.T, strict=True)
        ),
        reported("F9: larger model, pass@1", interval(warm.mean(axis=1)[draws].mean(axis=1))),
    ]


def tested(
    name: str,
    at_small: Compared,
    at_great: Compared,
    budgets: Mapping[float, float],
    above: Callable[[Compared, float, NDArray[np.bool_]], Interval],
) -> list[Finding]:
    """The paper's findings on one kind of test-time compute.

    Args:
        name: of the kind.
        at_small, at_great: what is compared at the smallest and at the greatest ratio.
        budgets: at equal FLOPs, by ratio.
        above: the base model's accuracy minus the larger model's.
    """
    small, great = min(budgets), max(budgets)
    hardest = at_great.bins == at_great.bins.max()
    return [
        Finding(
            f"{name} beats the larger model in the easy and medium bins at R = {small}",
            above(at_small, budgets[small], at_small.bins <= 3),
        ),
        Finding(
            f"the larger model beats {name} in the hardest bin at R = {great:g}",
            above(at_great, budgets[great], hardest),
            below=True,
        ),
        Finding(
            f"the larger model beats {name} over all prompts at R = {great:g}",
            above(at_great, budgets[great], parts_of(at_great.bins)["all prompts"]),
            below=True,
        ),
    ]


def crossover(
    pretraining: Pretraining,
    curve: Curve,
    larger: NDArray[np.float64],
    draws: NDArray[np.int64],
) -> tuple[float, float, float]:
    """The ratio R of inferred to pretrained tokens up to which the base model is as accurate.

    0 where it is never as accurate, `ANY_RATIO` where it is at every ratio.

    Args:
        pretraining: pretraining of both models.
        curve: curve of the base model.
        larger: accuracy of the larger model on each prompt, shape (prompts,).
        draws: bootstrap draws of prompts.
    """
    spent = needed(curve, larger, draws)
    found = [min(pretraining.crossover(float(generations)), ANY_RATIO) for generations in spent]
    return interval(np.array(found))
