"""Figures 3 and 4: search against the verifier, and its compute-optimal choice (section 5)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from benchmarks.allocation.family import SeededReplay
from benchmarks.allocation.fresh import ARITHMETIC, artifact_of
from benchmarks.allocation.measure import from_artifact
from benchmarks.figures.drawing import Figure, Panel, line_of
from benchmarks.figures.findings import Finding, Reproduced, mean_above
from benchmarks.figures.optimal import (
    ORACLE,
    PREDICTED,
    OneTable,
    bins_by,
    compute_optimal,
    savings_of,
)
from benchmarks.figures.pools import (
    AHEAD,
    BY_OWN_SIZE,
    FIXED,
    MAX_N,
    ROOT,
    SINGLE,
    Samples,
    powers,
    ratios,
)
from benchmarks.testbed.measure import auc_within_prompts
from calibration.replay.curves import Curve, plan_curve, resamples
from calibration.replay.policy_curves import policy_curve, predicted
from calibration.report.targets import Interval, reported

WEIGHTED, MAJORITY = "best-of-N weighted", "majority"
WIDE, NARROW = "beam search, M = 4", "beam search, M = √N"
WIDEST = "beam search, M = N"
LOOKS = {k: f"lookahead k = {k}, M = 4" for k in AHEAD}
SERVED = "the artifact's policy, pilots counted"
ONE_TABLE = "search and revisions in one table, predicted bins"
MAX_SOLUTIONS = 256
SMALL, SLIGHT = 4, 0.05  # a small budget; a negligible accuracy
OWN_SIZE, FITTED = "a PRM of the model's size", "the fitted score"
SHARPENED = f"{FITTED}, votes sharpened"
WEAK = "a weaker PRM of that size"


def best_of(n: int) -> Plan:
    """n independent solutions."""
    return Plan(strategy="best_of_n", n=n)


def oracle_bins(samples: Samples) -> NDArray[np.int64]:
    """The bin of each prompt by pass@1 of all its independent solutions, shape (prompts,)."""
    return bins_by(samples.by_prm.pass_at_1_by_prompt)


def predicted_bins(samples: Samples) -> NDArray[np.int64]:
    """The bin by their mean fitted score, without right answers; its cost is not counted."""
    return bins_by(
        np.array(
            [np.mean([s.score for s in r.independent.samples]) for r in samples.by_score.records]
        )
    )


def guided(samples: Samples) -> dict[str, SeededReplay]:
    """Searches by the score that guides them."""
    return {OWN_SIZE: samples.by_prm, FITTED: samples.by_score}


def candidates(guide: str) -> list[Plan]:
    """All plans of search that were sampled."""
    searches = BY_OWN_SIZE if guide == OWN_SIZE else [*FIXED, *ROOT, *SINGLE]
    return list(dict.fromkeys([*(best_of(n) for n in powers(MAX_SOLUTIONS)), *searches]))


def methods(replay: SeededReplay, looks: bool) -> dict[str, Curve]:
    """Every method of search at every budget, by name."""
    plain = [best_of(n) for n in powers(MAX_SOLUTIONS)]
    votes = [plan.model_copy(update={"selection": MAJORITY}) for plan in plain]
    plans: dict[str, Sequence[Plan]] = {WEIGHTED: plain, MAJORITY: votes}
    plans |= {NARROW: ROOT, WIDE: FIXED, WIDEST: SINGLE}
    if looks:
        plans = plans | {LOOKS[k]: AHEAD[k] for k in AHEAD}
    return curves_of(replay, plans)


def curves_of(replay: SeededReplay, plans: Mapping[str, Sequence[Plan]]) -> dict[str, Curve]:
    """A curve of each method's plans, one plan per budget, by name."""
    return {name: plan_curve(name, replay, of_name) for name, of_name in plans.items()}


def mean_over(curve: Curve, budgets: Sequence[float]) -> NDArray[np.float64]:
    """Accuracy of each prompt, averaged over budgets."""
    rows = [curve.budgets.index(budget) for budget in budgets]
    return np.asarray(curve.correct[rows].mean(axis=0))


def parts_of(bins: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """All prompts, and each bin's."""
    everyone = {"all prompts": np.ones(len(bins), dtype=bool)}
    return everyone | {f"bin {b + 1}": bins == b for b in range(int(bins.max()) + 1)}


def auc_within(replay: SeededReplay) -> Interval:
    """How well the score tells right solutions of a prompt from wrong ones."""
    few = [(r.independent.correct[:MAX_N], r.independent.samples[:MAX_N]) for r in replay.records]
    correct = np.array([right for right, _ in few], dtype=float)
    return auc_within_prompts(correct, np.array([[s.score for s in samples] for _, samples in few]))


def figure_3(samples: Samples) -> Reproduced:
    """Methods of search against budget, over all prompts and by bin."""
    bins = oracle_bins(samples)
    draws = resamples(len(bins))
    parts = parts_of(bins)
    everyone = parts["all prompts"]
    curves = {guide: methods(r, looks=guide == OWN_SIZE) for guide, r in guided(samples).items()}
    few = {WEIGHTED: [best_of(n) for n in powers(MAX_N)], WIDE: FIXED}
    curves[WEAK] = curves_of(samples.by_weak_prm, few)
    panels = [
        Panel(
            f"{guide}, {part}",
            "generations",
            [line_of(c, inside, banded=c.name in (WEIGHTED, WIDE)) for c in of_guide.values()],
        )
        for guide, of_guide in curves.items()
        for part, inside in parts.items()
    ]

    def wide_above(guide: str, budgets: Sequence[int], inside: NDArray[np.bool_]) -> Interval:
        wide, plain = (mean_over(curves[guide][name], budgets) for name in (WIDE, WEIGHTED))
        return mean_above(wide, plain, inside, draws)

    def best_above_one(guide: str, inside: NDArray[np.bool_]) -> Interval:
        most, one = (mean_over(curves[guide][WEIGHTED], [n]) for n in (MAX_N, 1))
        return mean_above(most, one, inside, draws)

    findings = [
        finding
        for guide in (OWN_SIZE, FITTED)
        for finding in (
            Finding(
                f"by {guide}, beam search (M = 4) is above best-of-N weighted at N = {SMALL}",
                wide_above(guide, [SMALL], everyone),
            ),
            Finding(
                f"by {guide}, it is below at N = {MAX_N}",
                wide_above(guide, [MAX_N], everyone),
                below=True,
            ),
        )
    ]
    easy, medium, hardest = bins <= 1, (bins == 2) | (bins == 3), bins == bins.max()
    findings += [
        Finding(
            f"by {OWN_SIZE}, it is below at N = {MAX_N} in the easy bins (1, 2)",
            wide_above(OWN_SIZE, [MAX_N], easy),
            below=True,
        ),
        Finding(
            f"by {OWN_SIZE}, it is above at N = {SMALL} to {MAX_N} in the medium bins (3, 4)",
            wide_above(OWN_SIZE, powers(MAX_N)[2:], medium),
        ),
        Finding(
            f"in the hardest bin best-of-{MAX_N} weighted is less than five points above one "
            "solution",
            best_above_one(OWN_SIZE, hardest),
            bound=SLIGHT,
            below=True,
        ),
    ]
    targets = [
        reported(f"F3: AUC within a prompt of {guide}", auc_within(replay))
        for guide, replay in {**guided(samples), WEAK: samples.by_weak_prm}.items()
    ]
    wide = f"F3: by {WEAK}, beam search (M = 4) minus best-of-N weighted"
    targets += [
        reported(f"{wide}, N = {SMALL}", wide_above(WEAK, [SMALL], everyone)),
        reported(f"{wide}, N = {MAX_N}", wide_above(WEAK, [MAX_N], everyone)),
        reported(f"{wide}, N = {MAX_N}, easy bins", wide_above(WEAK, [MAX_N], easy)),
        reported(
            f"F3: by {WEAK}, best-of-{MAX_N} weighted minus one solution, hardest bin",
            best_above_one(WEAK, hardest),
        ),
    ]
    title = "Search against the verifier, by budget and difficulty"
    return Reproduced(Figure("F3", title, panels, len(parts)), findings, targets)


def figure_4(samples: Samples) -> Reproduced:
    """Compute-optimal search by oracle and by predicted bins, against best-of-N weighted."""
    by_oracle, by_prediction = oracle_bins(samples), predicted_bins(samples)
    draws = resamples(len(by_oracle))
    everyone = parts_of(by_oracle)["all prompts"]
    plain, budgets = [best_of(n) for n in powers(MAX_SOLUTIONS)], powers(MAX_SOLUTIONS)
    compared: dict[str, list[Curve]] = {}
    findings, targets = [], []
    for guide, replay in guided(samples).items():
        plans = candidates(guide)
        optimal = compute_optimal(ORACLE, replay, plans, budgets, by_oracle)
        by_predictor = compute_optimal(PREDICTED, replay, plans, budgets, by_prediction)
        curves = [plan_curve(WEIGHTED, replay, plain), optimal, by_predictor]
        if guide == FITTED:
            both = OneTable(replay, samples.revised)
            every = [*plans, *(plan for n in powers(MAX_N) for plan in ratios(n)[1:])]
            curves.append(compute_optimal(ONE_TABLE, both, every, budgets, by_prediction))
        compared[guide] = curves
        gained, savings = savings_of(curves[0], curves[1:], draws, f"by {guide}, ")
        findings += [
            gained,
            Finding(
                f"by {guide}, predicted bins are less than a point below oracle bins from {SMALL} "
                f"to {MAX_N} generations",
                mean_above(
                    mean_over(optimal, powers(MAX_N)[2:]),
                    mean_over(by_predictor, powers(MAX_N)[2:]),
                    everyone,
                    draws,
                ),
                bound=0.01,
                below=True,
            ),
        ]
        targets += [reported(f"F4: search by {guide}, {name}", times) for name, times in savings]
    compared[SHARPENED] = curves = [
        plan_curve(WEIGHTED, samples.sharpened, plain),
        compute_optimal(ORACLE, samples.sharpened, candidates(FITTED), budgets, by_oracle),
        served(samples.sharpened),
    ]
    _, savings = savings_of(curves[0], curves[1:], draws)
    targets += [reported(f"F4: search by {SHARPENED}, {name}", times) for name, times in savings]
    panels = [
        Panel(
            f"by {guide}",
            "average generations per prompt",
            [line_of(c, everyone, spent=True, banded=c.name in (WEIGHTED, ORACLE)) for c in curves],
        )
        for guide, curves in compared.items()
    ]
    title = "Compute-optimal search against best-of-N weighted"
    return Reproduced(Figure("F4", title, panels, len(panels)), findings, targets)


def served(replay: SeededReplay) -> Curve:
    """The artifact's policy, as it is served: predicted bins, pilots counted."""
    learned = from_artifact(artifact_of(ARITHMETIC))
    curve = policy_curve(SERVED, replay, learned.table, predicted(replay, learned.difficulty))
    return curve.restricted_to(learned.efficient)
