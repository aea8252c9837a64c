"""What each way saves, on curves whose savings can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.replay.curves import Curve, resamples, summarized
from calibration.replay.ways import Way
from calibration.report.savings import largest_saving, savings
from calibration.report.summary import Saving

PROMPTS = 10


def curve(
    name: str, *points: tuple[float, float, float], tokens: float = 3, flops: float = 0
) -> Curve:
    """(budget, accuracy, generations) of each point; the same prompts are right first."""
    right = [
        [float(number < PROMPTS * share) for number in range(PROMPTS)] for _, share, _ in points
    ]
    spent = np.array([[cost] * PROMPTS for *_, cost in points], dtype=float)
    budgets = tuple(budget for budget, *_ in points)
    return Curve(name, budgets, np.array(right), spent, tokens * spent, flops * spent)


BEST_OF_N = curve("best-of-N", (1, 0.4, 1), (4, 0.6, 4), (16, 0.8, 16), tokens=2)


def test_all_ways_are_compared_at_the_highest_accuracy_that_one_reaches() -> None:
    ways: dict[Way, Curve] = {
        "bins": curve("bins", (1, 0.4, 1), (4, 0.6, 1.25)),
        "price": curve("price", (1, 0.4, 1), (16, 0.8, 5)),
        "total": curve("total", (1, 0.4, 1), (16, 0.8, 8)),
    }
    price, total = found = savings(BEST_OF_N, ways, 1)
    assert (price.way, total.way) == ("price", "total"), "bins save more, for less accuracy"
    assert (price.accuracy, price.generations, price.baseline) == pytest.approx((0.8, 5, 16))
    assert (price.times, total.times) == pytest.approx((16 / 5, 2))
    assert price.tokens is not None
    assert (price.tokens.spent, price.tokens.baseline) == pytest.approx((15, 32))
    assert price.tokens.times == pytest.approx(32 / 15)
    assert price.flops is None
    assert largest_saving(found) == price


def test_flops_are_saved_where_both_were_counted() -> None:
    plain = curve("best-of-N", (1, 0.4, 1), (4, 0.6, 4), flops=100)
    (found,) = savings(plain, {"bins": curve("bins", (1, 0.4, 1), (4, 0.6, 2), flops=300)}, 1)
    assert found.flops is not None
    # Half of the generations, each of them three times as dear.
    assert (found.flops.spent, found.flops.baseline) == pytest.approx((600, 400))
    assert found.flops.times == pytest.approx(2 / 3)


def test_a_way_that_spends_the_largest_budget_is_no_saving() -> None:
    ways: dict[Way, Curve] = {
        "bins": curve("bins", (1, 0.4, 1), (4, 0.6, 4), (16, 0.8, 16)),
        "price": curve("price", (1, 0.4, 1), (4, 0.6, 2), (16, 0.8, 16)),
    }
    bins, price = savings(BEST_OF_N, ways, 1)
    assert (price.accuracy, price.times, bins.times) == pytest.approx((0.6, 2, 1))
    # If nothing else is reached, that is what is left to say.
    few = curve("few", (16, 0.8, 16))
    top = curve("best-of-N", (16, 0.8, 16))
    (found,) = savings(top, {"bins": few}, 1)
    assert found.times == pytest.approx(1)


def test_a_loss_at_the_largest_budget_is_not_passed_over() -> None:
    ways: dict[Way, Curve] = {"bins": curve("bins", (1, 0.4, 1), (4, 0.6, 2), (16, 0.8, 20))}
    (found,) = savings(BEST_OF_N, ways, 1)
    assert (found.accuracy, found.times) == pytest.approx((0.8, 0.8))


def test_what_best_of_n_needs_is_its_smallest_budget_of_an_accuracy_as_shown() -> None:
    # Closed forms of a log: 32 samples are more accurate than 8 by a hundred-thousandth.
    top = replace(BEST_OF_N, correct=np.array([[0.4], [0.9998], [0.99981]]).repeat(PROMPTS, axis=1))
    way = replace(top, generations=np.array([[1.0], [2.0], [3.0]]).repeat(PROMPTS, axis=1))
    (found,) = savings(top, {"price": way}, n_jobs=1)
    assert (found.baseline, found.generations) == pytest.approx((4, 2))


def test_nothing_is_saved_on_what_one_solution_reaches() -> None:
    falling = curve("majority", (1, 0.6, 1), (4, 0.5, 4), (16, 0.4, 16))
    ways: dict[Way, Curve] = {"price": curve("price", (1, 0.6, 1), (16, 0.6, 8))}
    assert savings(falling, ways, 1) == ()


def test_no_saving_is_counted_where_more_solutions_hardly_help_the_baseline() -> None:
    ways: dict[Way, Curve] = {"price": curve("price", (1, 0.4, 1), (4, 0.9, 4))}
    hardly, well = (
        curve("majority", (1, 0.4, 1), (4, 0.4, 4), (16, most, 16)) for most in (0.5, 0.7)
    )
    assert savings(hardly, ways, 1) == ()
    assert savings(well, ways, 1)
    # What one solution reaches is not known.
    assert savings(hardly.restricted_to((4, 16)), ways, 1)


def test_no_accuracy_is_reached() -> None:
    assert savings(BEST_OF_N, {"bins": curve("bins", (1, 0.3, 1))}, 1) == ()
    assert largest_saving(()) is None


def test_tokens_that_were_not_counted() -> None:
    base = curve("best-of-N", (1, 0.4, 1), (4, 0.6, 4), tokens=0)
    (found,) = savings(base, {"bins": curve("bins", (1, 0.6, 1), tokens=0)}, 1)
    assert found.tokens is None
    assert [point.tokens for point in summarized(base, resamples(PROMPTS)).points] == [None] * 2


def saving(way: Way, times: float) -> Saving:
    return Saving(way=way, accuracy=0.5, generations=1, baseline=times, times=times, low=1, high=9)


def test_of_savings_that_are_shown_alike_the_simpler_way_leads() -> None:
    alike = saving("bins", 1.46), saving("price", 1.54), saving("total", 1.51)
    assert largest_saving(alike) == alike[0]
    assert largest_saving((alike[0], saving("price", 1.56))) == saving("price", 1.56)
