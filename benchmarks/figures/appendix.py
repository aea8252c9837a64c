"""The paper's appendices E and F, and lookahead: what verifies, and how its steps are read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures.drawing import Figure, Panel, line_of
from benchmarks.figures.findings import Finding, Reproduced, mean_above
from benchmarks.figures.pools import AHEAD, FIXED, MAX_N, Samples, powers
from benchmarks.figures.search import LOOKS, WEIGHTED, WIDE, best_of, mean_over
from calibration.replay.curves import plan_curve, resamples
from calibration.report.targets import Interval

LAST, LOWEST, PRODUCT = "PRM, last step", "PRM, least step", "PRM, product of steps"
ORM_SCORE, VOTES = "ORM", "majority"
SEVERAL = powers(MAX_N)[2:]


def appendix(samples: Samples) -> Reproduced:
    """Best-of-N weighted by each aggregation and verifier; beam search by each lookahead."""
    plain = [best_of(n) for n in powers(MAX_N)]
    votes = [plan.model_copy(update={"selection": "majority"}) for plan in plain]
    steps = samples.by_steps
    curves = {
        LAST: plan_curve(LAST, steps["last"], plain),
        LOWEST: plan_curve(LOWEST, steps["min"], plain),
        PRODUCT: plan_curve(PRODUCT, steps["product"], plain),
        ORM_SCORE: plan_curve(ORM_SCORE, samples.by_orm, plain),
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
    return Reproduced(figure, findings)
