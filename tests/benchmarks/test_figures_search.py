"""Figure 3 and the appendix on searches whose truth is known."""

import numpy as np
import pytest

from allocator.plan import Plan
from benchmarks.allocation.family import SeededReplay
from benchmarks.figures.appendix import appendix
from benchmarks.figures.pools import AHEAD, FIXED, ROOT, SINGLE, Samples, beside
from benchmarks.figures.search import figure_3
from tests.support.findings import verdicts
from tests.support.samples import chain_run, record

PROMPTS, SOLUTIONS = 30, 256


def samples_of(small: float, large: float) -> Samples:
    """Searches of fewer than 16 beams are right with one chance, larger ones with the other.

    One independent solution in two is right; wrong ones disagree, so many of them are right.
    """
    rng = np.random.default_rng(0)
    every = dict.fromkeys([*FIXED, *ROOT, *SINGLE, *AHEAD[1], *AHEAD[3]])
    plans = [plan for plan in every if plan.strategy == "beam_search"]
    records = []
    for i in range(PROMPTS):
        ease = 0.1 + 0.8 * i / PROMPTS
        alone = record(f"p{i}", (rng.random(SOLUTIONS) < ease).tolist())

        def searched(plan: Plan) -> bool:
            return bool(rng.random() < (small if plan.n < 16 else large))

        runs = {plan: [chain_run([searched(plan)] * plan.n)] for plan in plans}
        records += beside([alone], {f"p{i}": runs})
    replay = SeededReplay(records, SOLUTIONS // 2)
    by_steps = dict.fromkeys(("last", "min", "product"), replay)
    return Samples(replay, replay, replay, replay, replay, by_steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("small", "large", "above_at_4", "below_at_64"),
    [(1.0, 0.3, "holds", "holds"), (0.1, 1.0, "does not hold", "cannot be told apart")],
)
def test_search_above_best_of_n_and_below_it_are_told(
    small: float, large: float, above_at_4: str, below_at_64: str
) -> None:
    samples = samples_of(small, large)
    assert verdicts(figure_3(samples))[:4] == [above_at_4, below_at_64] * 2
    # One verifier's scores three times over differ in nothing.
    assert verdicts(appendix(samples))[:3] == ["cannot be told apart"] * 3
