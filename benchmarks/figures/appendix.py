"""The paper's appendices E and F, and lookahead: what verifies, and how its steps are read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures.drawing import Figure, Panel, line_of
from benchmarks.figures.findings import Finding, Reproduced, mean_above
from benchmarks.figures.pools import AHEAD, FIXED, MAX_N, Samples, powers
from benchmarks.figures.search import LOOKS, WEIGHTED, WIDE, auc_within, best_of, mean_over
from calibration.replay.curves import plan_curve, resamples
from calibration.report.targets import Interval, reported

LAST, LOWEST, PRODUCT = "PRM, last step", "PRM, least step", "PRM, product of steps"
ORM_SCORE, VOTES = "ORM", "majority"
BEST = {name: f"greatest score by {name}" for name in (LAST, LOWEST, PRODUCT, ORM_SCORE)}
SEVERAL = powers(MAX_N)[2:]


def appendix(samples: Samples) -> Reproduced:
    """Best-of-N weighted by each aggregation and verifier; beam search by each lookahead."""
    plain = [best_of(n) for n in powers(MAX_N)]
    votes = [plan.model_copy(update={"selection": "majority"}) for plan in plain]
    steps = samples.by_steps
    scored = {LAST: steps["last"], LOWEST: steps["min"], PRODUCT: steps["product"]}
    scored[ORM_SCORE] = samples.by_orm
    curves = {name: plan_curve(name, replay, plain) for name, replay in scored.items()}
    curves |= {
        VOTES: plan_curve(VOTES, steps["last"], votes),
        WEIGHTED: plan_curve(WEIGHTED, samples.by_prm, plain),
        WIDE: plan_curve(WIDE, samples.by_prm, FIXED),
    }
    curves |= {LOOKS[k]: plan_curve(LOOKS[k], samples.by_prm, AHEAD[k]) for k in AHEAD}
    everyone = np.ones(samples.by_prm.prompts, dtype=bool)
    further = np.ones(samples.by_orm.prompts, dtype=bool)

    def drawn(title: str, names: list[str], prompts: NDArray[np.bool_]) -> Panel:
        lines = [line_of(curves[name], prompts) for name in names]
        return Panel(title, "generations", lines)

    def above(
        one: str, other: str, budgets: Sequence[float], prompts: NDArray[np.bool_]
    ) -> Interval:
        values, others = (mean_over(curves[name], budgets) for name in (one, other))
        return mean_above(values, others, prompts, resamples(len(prompts)))

    findings = [
        *(
            Finding(
                f"{LAST}, is above {other} at N = {SEVERAL[0]} to {MAX_N}",
                above(LAST, other, SEVERAL, further),
            )
            for other in (LOWEST, PRODUCT, ORM_SCORE)
        ),
        *(
            Finding(
                f"{name} is below beam search at equal cost",
                above(name, WIDE, curves[name].budgets, everyone),
                below=True,
            )
            for name in LOOKS.values()
        ),
    ]
    figure = Figure(
        "appendix",
        "Aggregation of steps, PRM against ORM, lookahead",
        [
            drawn("best-of-N weighted, by aggregation", [LAST, LOWEST, PRODUCT], further),
            drawn("best-of-N weighted, by verifier", [LAST, ORM_SCORE, VOTES], further),
            drawn("beam search, by lookahead", [WEIGHTED, WIDE, *LOOKS.values()], everyone),
        ],
        3,
    )
    # Whether what differs is the order of solutions, or how much weight their votes have.
    greatest = [plan.model_copy(update={"selection": "best"}) for plan in plain]
    curves |= {BEST[name]: plan_curve(name, replay, greatest) for name, replay in scored.items()}
    targets = [
        *(
            reported(f"appendix: AUC within a prompt of {name}", auc_within(replay))
            for name, replay in scored.items()
        ),
        *(
            reported(
                f"appendix: {BEST[LAST]}, minus {name}, N = {SEVERAL[0]} to {MAX_N}",
                above(BEST[LAST], BEST[name], SEVERAL, further),
            )
            for name in scored
            if name != LAST
        ),
        reported("appendix: further test prompts, for all but search", (len(further),) * 3),
    ]
    return Reproduced(figure, findings, targets)
