"""One budget over many prompts, against brute force and by hand."""

import time
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocator.budget import Allocation, allocate
from allocator.errors import InputError

# Gains in 128ths, so that sums are exact.
UNIT = 128


@st.composite
def curves(draw: st.DrawFn, steps: tuple[int, ...], concave: bool) -> tuple[list[int], np.ndarray]:
    """Costs of up to four options, and what up to four prompts gain at each."""
    more = draw(st.lists(st.sampled_from(steps), max_size=3))
    costs = np.cumsum([draw(st.sampled_from(steps)), *more])
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        slopes = draw(
            st.lists(st.integers(0 if concave else -9, 9), min_size=len(more), max_size=len(more))
        )
        slopes = sorted(slopes, reverse=True) if concave else slopes
        start = draw(st.integers(0, 9))
        rows.append(np.cumsum([start, *(s * m for s, m in zip(slopes, more, strict=True))]) / UNIT)
    return costs.tolist(), np.array(rows)


def brute_force(costs: list[int], gains: np.ndarray, total: float) -> float:
    """The greatest sum of gains that a total allows."""
    return max(
        sum(float(row[option]) for row, option in zip(gains, chosen, strict=True))
        for chosen in product(range(len(costs)), repeat=len(gains))
        if sum(costs[option] for option in chosen) <= total
    )


def gained(gains: np.ndarray, found: Allocation) -> float:
    return float(gains[np.arange(len(gains)), found.options].sum())


def totals(costs: list[int], gains: np.ndarray) -> range:
    """From the cheapest options on to beyond the dearest."""
    return range(costs[0] * len(gains), costs[-1] * len(gains) + 2)


@given(curves(steps=(1,), concave=True))
@settings(max_examples=60)
def test_a_generation_at_a_time_it_is_exact(case: tuple[list[int], np.ndarray]) -> None:
    for total in totals(*case):
        assert gained(case[1], allocate(*case, total)) == brute_force(*case, total)


@given(curves(steps=(1, 2, 3), concave=True))
@settings(max_examples=60)
def test_it_is_exact_up_to_the_last_segment(case: tuple[list[int], np.ndarray]) -> None:
    costs, gains = case
    largest = float(np.diff(gains, axis=1).max(initial=0))
    for total in totals(*case):
        missed = brute_force(*case, total) - gained(gains, allocate(*case, total))
        assert 0 <= missed <= largest
        if total >= costs[-1] * len(gains):
            assert missed == 0


@given(curves(steps=(1, 2, 3), concave=False))
@settings(max_examples=100)
def test_never_above_the_total_and_more_never_gains_less(
    case: tuple[list[int], np.ndarray],
) -> None:
    costs, gains = case
    found = [allocate(*case, total) for total in totals(*case)]
    for total, one in zip(totals(*case), found, strict=True):
        assert one.spent == sum(costs[option] for option in one.options) <= total
    sums = [gained(gains, one) for one in found]
    assert all(less <= more for less, more in pairwise(sums))
    assert sums[-1] == gains.max(axis=1).sum()


@pytest.mark.slow
@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_straight_curves_stay_within_the_total(seed: int) -> None:
    # Their slopes differ in the last digit, up or down, from one segment to the next.
    rng = np.random.default_rng(seed)
    costs = np.cumsum(rng.integers(1, 4, 6)).astype(float)
    gains = rng.random() * rng.random((3, 1)) * costs
    for total in np.arange(3 * costs[0], 3 * costs[-1] + 1):
        assert allocate(costs, gains, total).spent <= total


def test_worked_by_hand() -> None:
    # Slopes of the first prompt: 0.3, then 0.05; of the second: 0.1, then 0.08; the third has none.
    costs, gains = [1, 2, 4], [[0.2, 0.5, 0.6], [0.1, 0.2, 0.36], [0.9, 0.9, 0.9]]
    spent_on = {3: (0, 0, 0), 4: (1, 0, 0), 5: (1, 1, 0), 6: (1, 1, 0), 7: (1, 2, 0), 9: (2, 2, 0)}
    prices = {3: 0, 4: 0.3, 5: 0.1, 6: 0.1, 7: 0.08, 9: 0.05}
    for total, options in spent_on.items():
        found = allocate(costs, gains, total)
        assert tuple(found.options) == options
        assert found.price == pytest.approx(prices[total])
    assert allocate(costs, gains, 6).spent == 5


def test_where_the_steepest_does_not_fit_the_next_one_does() -> None:
    costs, gains = [1, 2, 11], [[0, 0, 1], [0, 0.05, 0.05]]
    found = allocate(costs, gains, 4)
    assert found.options.tolist() == [0, 1]
    assert found.spent == 3


def test_the_hull_skips_what_is_dominated() -> None:
    # 2 generations gain nothing, 3 gain more a generation than 2 do: from 1 straight to 4.
    costs = [1, 2, 3, 4]
    found = [allocate(costs, [[0, 0.0, 0.1, 0.6]], total).options[0] for total in costs]
    assert found == [0, 0, 0, 3]
    # What does worse for more is never bought.
    assert allocate(costs, [[0.5, 0.4, 0.5, 0.3]], 4).options.tolist() == [0]


def test_of_equally_dear_options_the_better() -> None:
    costs, gains = [1, 1, 4, 4], [[0.1, 0.3, 0.5, 0.2], [0.3, 0.1, 0.2, 0.9]]
    assert allocate(costs, gains, 2).options.tolist() == [1, 0]
    assert allocate(costs, gains, 8).options.tolist() == [2, 3]


def test_floors_and_ceilings_bind() -> None:
    costs, gains = [1, 2, 4, 8], np.array([[0, 0.5, 0.6, 0.7], [0.9, 0.9, 0.9, 0.9]])
    assert allocate(costs, gains, 100).options.tolist() == [3, 0]
    assert allocate(costs, gains, 100, floors=3).options.tolist() == [3, 2]
    assert allocate(costs, gains, 100, floors=[0, 8]).options.tolist() == [3, 3]
    assert allocate(costs, gains, 100, ceilings=[5, 1]).options.tolist() == [2, 0]
    # The floor's share is spent first, whatever it gains.
    assert allocate(costs, gains, 5, floors=[0, 4]).options.tolist() == [0, 2]
    with pytest.raises(InputError, match="must be at least 5, the cost"):
        allocate(costs, gains, 4, floors=[0, 4])


NAN = float("nan")


@pytest.mark.parametrize(
    ("costs", "gains", "total", "limits", "field"),
    [
        ([1, 2], [[0.1]], 9, {}, "accuracies"),
        ([1, 2], [0.1, 0.2], 9, {}, "accuracies"),
        ([], [[]], 9, {}, "accuracies"),
        ([2, 1], [[0.1, 0.2]], 9, {}, "costs"),
        ([1, 2], [[0.1, NAN]], 9, {}, "accuracies"),
        ([1, NAN], [[0.1, 0.2]], 9, {}, "costs"),
        ([1, 2], [[0.1, 0.2]], 0.5, {}, "total"),
        ([1, 2], [[0.1, 0.2]], NAN, {}, "total"),
        ([1, 4], [[0.1, 0.2]], 9, {"floors": 2, "ceilings": 3}, "floors"),
        ([1, 4], [[0.1, 0.2]], 9, {"floors": 5}, "floors"),
        ([1, 4], [[0.1, 0.2]], 9, {"floors": [1, 1]}, "floors"),
        ([1, 4], [[0.1, 0.2]], 9, {"ceilings": [[4]]}, "ceilings"),
    ],
)
def test_what_cannot_be_shared_out_is_named(
    costs: list[float], gains: list[list[float]], total: float, limits: dict[str, int], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        allocate(costs, gains, total, **limits)
    assert caught.value.field == field


def test_a_prompt_without_an_option_is_named() -> None:
    with pytest.raises(InputError, match="prompt 1 has no option"):
        allocate([1, 4], [[0, 1]] * 3, 99, floors=[1, 5, 5])


def test_no_prompts_at_all() -> None:
    found = allocate([1, 2], np.zeros((0, 2)), 0)
    assert (len(found.options), found.spent, found.price) == (0, 0, 0)


@pytest.mark.slow
def test_a_hundred_thousand_prompts() -> None:
    rng = np.random.default_rng(0)
    costs = 2.0 ** np.arange(10)
    gains = np.cumsum(rng.random((100_000, 10)) * 0.1, axis=1)
    started = time.thread_time()
    found = allocate(costs, gains, 800_000)
    assert time.thread_time() - started < 3
    assert 799_000 < found.spent <= 800_000
