"""The paper's appendices E and F, and lookahead: what verifies, and how its steps are read."""

from collections.abc import Sequence

import numpy as np

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
    draws = resamples(samples.by_prm.prompts)
    everyone = np.ones(samples.by_prm.prompts, dtype=bool)

    def drawn(title: str, names: list[str]) -> Panel:
        lines = [line_of(curves[name], everyone) for name in names]
        return Panel(title, "generations", lines)

    def above(one: str, other: str, budgets: Sequence[float]) -> Interval:
        values, others = (mean_over(curves[name], budgets) for name in (one, other))
        return mean_above(values, others, everyone, draws)

    findings = [
        *(
            Finding(
                f"{LAST}, is above {other} at N = {SEVERAL[0]} to {MAX_N}",
                above(LAST, other, SEVERAL),
            )
            for other in (LOWEST, PRODUCT, ORM_SCORE)
        ),
        *(
            Finding(
                f"{name} is below beam search at equal cost",
                above(name, WIDE, curves[name].budgets),
                below=True,
            )
            for name in LOOKS.values()
        ),
    ]
    figure = Figure(
        "appendix",
        "Aggregation of steps, PRM against ORM, lookahead",
        [
            drawn("best-of-N weighted, by aggregation", [LAST, LOWEST, PRODUCT]),
            drawn("best-of-N weighted, by verifier", [LAST, ORM_SCORE, VOTES]),
            drawn("beam search, by lookahead", [WEIGHTED, WIDE, *LOOKS.values()]),
        ],
        3,
    )
    return Reproduced(figure, findings)
