"""What benchmarks.figures computes: verdicts, held-out choice, equal FLOPs, files."""

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from allocator.flops import Exchange
from allocator.plan import Plan
from benchmarks.figures.drawing import Figure, Line, Panel, draw, line_of
from benchmarks.figures.equal_flops import Compared, in_solutions
from benchmarks.figures.exchange import ANY_RATIO, crossover
from benchmarks.figures.findings import Finding, mean_above, sentence
from benchmarks.figures.larger import Pretraining
from benchmarks.figures.optimal import (
    OneTable,
    at_budget,
    bins_by,
    compute_optimal,
    needed,
    savings_of,
)
from benchmarks.figures.pools import beams, powers, ratios, revisions
from calibration.replay.curves import Curve, resamples
from calibration.replay.intervals import widened
from calibration.replay.outcomes import Outcome
from tests.support.plans import best_of

RNG = np.random.default_rng(0)


@dataclass
class Known:
    """Plans whose accuracy on each prompt is known: answers are drawn with it."""

    accuracy: dict[Plan, NDArray[np.float64]]
    replicates: int = 10
    states: None = None
    drawn: dict[Plan, Outcome] = field(default_factory=dict)

    @property
    def prompts(self) -> int:
        return len(next(iter(self.accuracy.values())))

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        if plan not in self.drawn:
            shape = self.prompts, self.replicates
            right = RNG.random(shape) < self.accuracy[plan][:, None]
            tokens = np.full(shape, 10.0 * plan.n)
            self.drawn[plan] = Outcome(right.astype(float), tokens, 0 * tokens)
        return self.drawn[plan]


def curve_of(*rows: list[float], budgets: tuple[int, ...] = (1, 4, 16)) -> Curve:
    correct = np.array(rows)
    spent = np.array(budgets, dtype=float)[:, None] * np.ones_like(correct)
    return Curve("x", budgets, correct, spent, 10 * spent, 0 * spent)


def test_a_verdict_needs_the_whole_interval() -> None:
    assert Finding("a", (0.05, 0.01, 0.09)).verdict == "holds"
    assert Finding("a", (0.05, -0.01, 0.09)).verdict == "cannot be told apart"
    assert Finding("a", (-0.05, -0.09, -0.01)).verdict == "does not hold"
    assert Finding("a", (-0.05, -0.09, -0.01), below=True).verdict == "holds"
    assert Finding("a", (3.0, 2.0, 3.9), unit="times", bound=4).verdict == "does not hold"
    assert Finding("a", (0.0, 0.0, 0.0)).verdict == "cannot be told apart"


@given(*[st.floats(-1, 1, allow_nan=False)] * 3, st.floats(-1, 1, allow_nan=False))
def test_above_and_below_are_mirror_images(a: float, b: float, c: float, bound: float) -> None:
    low, value, high = sorted((a, b, c))
    above = Finding("x", (value, low, high), bound=bound).verdict
    mirrored = Finding("x", (-value, -high, -low), bound=-bound, below=True).verdict
    assert above == mirrored


def test_a_sentence_counts_and_tells() -> None:
    said = sentence(
        "F3",
        [
            Finding("one is above two", (0.05, 0.01, 0.09)),
            Finding("it is matched with over 4 times less", (2.0, 1.0, 9.0), "times", 4),
        ],
    )
    assert said == (
        "F3: 1 holds, 1 cannot be told apart: one is above two: holds, +5.0 points "
        "[+1.0, +9.0]; it is matched with over 4 times less: cannot be told apart, "
        "2.0 times [1.0, 9.0]."
    )


def test_a_difference_is_paired_and_of_those_inside() -> None:
    base = RNG.random(200)
    inside = np.arange(200) < 50
    value, low, high = mean_above(base + np.where(inside, 0.25, -9), base, inside, resamples(200))
    np.testing.assert_allclose([value, low, high], 0.25)


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.3, "holds"), (0.0, "cannot be told apart"), (-0.3, "does not hold")],
)
def test_a_known_difference_is_found_and_none_is_not(shift: float, verdict: str) -> None:
    rng = np.random.default_rng(1)
    one, two = (rng.random(200) < p for p in (0.5 + shift, 0.5))
    everyone = np.ones(200, dtype=bool)
    found = mean_above(one.astype(float), two.astype(float), everyone, resamples(200))
    assert Finding("x", found).verdict == verdict


def test_each_bin_is_given_its_own_best_plan() -> None:
    easy = np.arange(100) < 50
    bins = bins_by(np.where(easy, 0.9, 0.1))
    assert bins.tolist() == [0] * 50 + [1] * 50
    plans = {
        best_of(1): np.where(easy, 1.0, 0.1),
        best_of(4): np.where(easy, 0.9, 0.3),
        beams(4, 2): np.where(easy, 0.2, 0.4),
        beams(4, 4): np.where(easy, 0.5, 0.8),
    }
    curve = compute_optimal("x", Known(plans), list(plans), [1, 4], bins)
    assert np.all(curve.generations == [[1], [4]]), "a cheaper plan is no candidate"
    np.testing.assert_allclose(curve.correct[1, easy].mean(), 0.9, atol=0.06)
    np.testing.assert_allclose(curve.correct[1, ~easy].mean(), 0.8, atol=0.06)


def test_one_table_chooses_among_searches_and_revisions() -> None:
    easy = np.arange(100) < 50
    bins = bins_by(np.where(easy, 0.9, 0.1))
    searched = Known({beams(4, 2): np.where(easy, 0.2, 0.8), best_of(4): np.full(100, 0.5)})
    revised = Known({revisions(4, 2): np.where(easy, 0.9, 0.3)})
    plans = [*searched.accuracy, *revised.accuracy]
    curve = compute_optimal("x", OneTable(searched, revised), plans, [4], bins)
    np.testing.assert_allclose(curve.correct[0, easy].mean(), 0.9, atol=0.06)
    np.testing.assert_allclose(curve.correct[0, ~easy].mean(), 0.8, atol=0.06)


def test_choosing_the_luckiest_of_many_plans_gains_nothing() -> None:
    widths = powers(64)[1:]
    tried = [*ratios(64), *(beams(64 // (k + 1), w, k) for k in (0, 1, 3) for w in widths)]
    plans = {plan: np.full(100, 0.5) for plan in tried}
    assert len(plans) > 20
    outcomes = Known(plans, replicates=1)
    curve = compute_optimal("x", outcomes, list(plans), [64], np.arange(100) % 5)
    lucky = max(outcomes.outcome(plan, 0).correct.mean() for plan in plans)
    assert lucky > 0.56
    assert abs(curve.correct.mean() - 0.5) < 0.06


def test_a_gain_is_claimed_for_nearly_all_of_the_accuracy() -> None:
    rising = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7])[:, None] * np.ones((7, 20))
    budgets = tuple(2**i for i in range(7))
    plain = curve_of(*rising.tolist(), budgets=budgets)
    # 95% of the way from 0.2 to 0.7 is 0.675, halfway between the accuracies at 2 and at 4.
    method = curve_of([0.2] * 20, [0.65] * 20, *[[0.7] * 20] * 5, budgets=budgets)
    finding, savings = savings_of(plain, [method], resamples(20), "by it, ")
    assert finding.measured == pytest.approx((64 / 3,) * 3)
    assert finding.verdict == "holds"
    assert finding.claim.startswith("by it, with oracle bins 95% of the way")
    found = dict(savings)
    assert found["x: saving at 64"] == pytest.approx((16,) * 3)
    assert found["x: saving at 64, 95% of the way"] == finding.measured
    assert len(found) == 4


def test_the_verifiers_flops_count_beside_those_of_solutions() -> None:
    flops = np.array([[20.0, 20.0], [90.0, 110.0], [50.0, 30.0]])
    curve = replace(curve_of([0.2, 0.4], [0.9, 0.9], [0.6, 0.4]), flops=flops)
    over = in_solutions(curve, 20)
    assert over.budgets == (1, 2, 5)
    np.testing.assert_allclose(over.generations, [[1, 1], [2.5, 1.5], [4.5, 5.5]])
    np.testing.assert_allclose(over.correct, [[0.2, 0.4], [0.6, 0.4], [0.9, 0.9]])


def test_between_two_budgets_is_a_mix_of_them() -> None:
    curve = curve_of([0.2, 0.4], [0.6, 0.4], [1.0, 0.4])
    np.testing.assert_allclose(at_budget(curve, 2.5), [0.4, 0.4])
    np.testing.assert_allclose(at_budget(curve, 100), [1.0, 0.4])
    found = needed(curve, np.array([0.6, 0.6]), np.array([[0, 1], [0, 0], [1, 1]]))
    np.testing.assert_allclose(found, [10, 4, np.inf])


@given(st.floats(1.5, 100), st.floats(0.01, 100), st.floats(0.3, 3))
def test_equal_flops_whatever_each_was_pretrained_on(
    scale: float, ratio: float, share: float
) -> None:
    base, tokens = 1_000_000, 10_000_000
    larger = Pretraining(
        parameters=round(scale * base),
        tokens=round(2 * share * tokens),
        base_parameters=base,
        base_tokens=tokens,
    )
    assume(larger.scale * larger.tokens > larger.base_tokens)
    generations = larger.budget(ratio)
    # 6 N D of pretraining and 2 N D of inference, on both sides.
    inferred = ratio * tokens
    of_larger = larger.parameters * (6 * larger.tokens + 2 * inferred)
    of_base = base * (6 * tokens + 2 * inferred * generations)
    assert of_base == pytest.approx(of_larger, rel=1e-6)
    assert larger.crossover(generations) == pytest.approx(ratio, rel=1e-3)


def test_pretrained_on_as_many_tokens_it_is_the_papers_exchange() -> None:
    same = Pretraining(parameters=14, tokens=5, base_parameters=1, base_tokens=5)
    for ratio in (0.16, 0.79, 22):
        assert same.budget(ratio) == pytest.approx(Exchange(14, ratio).budget)


def test_the_crossover_is_where_the_curve_reaches_the_larger_model() -> None:
    curve = curve_of([0.2] * 30, [0.4] * 30, [0.8] * 30, budgets=(1, 20, 100))
    larger = Pretraining(parameters=14, tokens=5, base_parameters=1, base_tokens=5)
    draws = resamples(30)
    # 60 generations for 0.6: 14 + 39 / R = 60.
    found = crossover(larger, curve, np.full(30, 0.6), draws)
    assert found == pytest.approx((39 / 46,) * 3)
    assert crossover(larger, curve, np.full(30, 0.9), draws) == (0, 0, 0)
    assert crossover(larger, curve, np.full(30, 0.2), draws) == (ANY_RATIO,) * 3


def test_the_larger_models_trainings_are_drawn_with_the_prompts() -> None:
    rng = np.random.default_rng(0)
    ours = (rng.random(400) < 0.8).astype(float)
    inside = np.arange(400) < 300
    curve = curve_of(ours.tolist(), ours.tolist(), budgets=(1, 2))
    alike = (rng.random(400) < 0.7).astype(float)
    bins = np.zeros(400, dtype=int)
    same = Compared(curve, np.stack([alike] * 3, axis=1), bins)
    # Trainings that are all the same add nothing.
    assert same.above_drawn(2, inside) == pytest.approx(same.above(2, inside))
    spread = np.stack([(rng.random(400) < rate) for rate in (0.6, 0.7, 0.8)], axis=1)
    apart = Compared(curve, spread.astype(float), bins)
    value, low, high = apart.above(2, inside)
    drawn, lower, higher = apart.above_drawn(2, inside)
    assert drawn == pytest.approx(value)
    assert lower < low - 0.03
    assert higher > high + 0.03


@pytest.mark.slow
def test_a_figure_is_three_files_and_the_same_each_time(tmp_path: Path) -> None:
    curve = curve_of([0.25, 0.5, 0.75, 1.0], [0.5] * 4, [1.0] * 4)
    line = line_of(curve, np.array([True, True, False, False]), banded=True)
    figure = Figure(
        "F0",
        "A figure",
        [
            Panel("all", "generations", [line, Line("other", [1, 2], [(0.1, 0.0, 0.2)] * 2)]),
            Panel("none", "generations", [line]),
        ],
        2,
    )
    for folder in ("one", "two"):
        draw(figure, tmp_path / folder)
    first = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    assert sorted(first) == ["F0.csv", "F0.png", "F0.svg"]
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}
    with (tmp_path / "one" / "F0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + 2 + 3
    _, low, high = widened(0.375, 0.25, 0.5, 2)
    assert rows[0] == {
        "panel": "all", "line": "x", "x": "1", "value": "0.375",
        "low": f"{low:.6g}", "high": f"{high:.6g}",
    }  # fmt: skip
