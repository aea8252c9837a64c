"""Figures 3 and 9 and the appendix on searches whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.flops import ModelSizes
from allocator.plan import Plan
from benchmarks.allocation.family import SeededReplay
from benchmarks.allocation.pool import write_pool
from benchmarks.figures import equal_flops
from benchmarks.figures.appendix import appendix
from benchmarks.figures.pools import BY_OWN_SIZE, Samples, beside, revisions
from benchmarks.figures.search import figure_3
from tests.support.findings import verdicts
from tests.support.samples import chain_run, record

PROMPTS, SOLUTIONS = 30, 256


def samples_of(small: float, large: float) -> Samples:
    """Searches of fewer than 16 beams are right with one chance, larger ones with the other.

    One independent solution in two is right; wrong ones disagree, so many of them are right.
    """
    rng = np.random.default_rng(0)
    plans = [plan for plan in dict.fromkeys(BY_OWN_SIZE) if plan.strategy == "beam_search"]
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
    return Samples(replay, replay, replay, replay, replay, replay, replay, replay, by_steps)


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


def test_small_searches_meet_the_larger_model_on_the_prompts_that_both_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = samples_of(small=1.0, large=1.0)
    # Each of two trainings is right for half of the prompts.
    answered = [record(f"p{i}", [i % 2 == 0] * 2) for i in reversed(range(2 * PROMPTS))]
    write_pool(answered, tmp_path / "greedy.parquet")
    monkeypatch.setattr(equal_flops, "GREEDY", tmp_path / "greedy.parquet")
    sized = SeededReplay(samples.small.records, SOLUTIONS // 2, sizes=ModelSizes(model=1))
    compared = equal_flops.small_searches(replace(samples, small=sized))
    assert compared.curve.budgets == (1, 2, 4, 8, 16), "in FLOPs of a solution, without a verifier"
    assert compared.larger[:, 0].tolist() == [1.0, 0.0] * (PROMPTS // 2)
    assert compared.bins[0] > compared.bins[-1] == 0, "the easiest bin is the first"
    everyone, right = np.ones(PROMPTS, dtype=bool), compared.larger[:, 0] == 1
    assert compared.above(12, everyone) == pytest.approx((0.5, 0.3, 0.7), abs=0.1)
    assert compared.above(12, right)[0] == pytest.approx(0, abs=0.02)


def test_chosen_revisions_meet_it_with_each_prompts_own_ratio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = [record(f"p{i}", [i % 2 == 0]) for i in range(PROMPTS)]
    write_pool(answered, tmp_path / "greedy.parquet")
    monkeypatch.setattr(equal_flops, "GREEDY", tmp_path / "greedy.parquet")
    records = []
    for i in range(PROMPTS):
        length = 1 if i < PROMPTS // 2 else 8
        runs = {revisions(n, length): [chain_run([n == 32] * n)] for n in (16, 32)}
        alone = record(f"p{i}", [j < SOLUTIONS * i / PROMPTS for j in range(SOLUTIONS)])
        records += beside([alone], {f"p{i}": runs})
    replay = SeededReplay(records, SOLUTIONS // 2, sizes=ModelSizes(model=1))
    samples = replace(samples_of(small=1.0, large=1.0), chosen=replay)
    compared = equal_flops.chosen_revisions(samples)
    # An attempt of a chain has 3 tokens here, where a solution has more.
    small, large = compared.curve.budgets
    assert large == 2 * small
    assert compared.curve.correct.tolist() == [[0.0] * PROMPTS, [1.0] * PROMPTS]
    assert compared.larger[:, 0].tolist() == [1.0, 0.0] * (PROMPTS // 2)
    everyone = np.ones(PROMPTS, dtype=bool)
    assert compared.above(large, everyone)[0] == pytest.approx(0.5)
    assert compared.above((small + large) / 2, everyone)[0] == pytest.approx(0.0)
