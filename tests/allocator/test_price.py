"""Prices: what they lead to, and how one follows a stream of prompts."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.price import MOST_AWAITED, PriceController, PriceList, PricePoint
from allocator.schedule import schedule_of, worth_continuing

SCHEDULE = schedule_of(32)


def listed(*points: tuple[float, float]) -> PriceList:
    return PriceList(
        schedule=SCHEDULE,
        points=tuple(PricePoint(price=p, generations=g, accuracy=0.5) for p, g in points),
    )


FOUR = listed((0.001, 16), (0.01, 4), (0.1, 1))


@pytest.mark.parametrize(
    ("generations", "price"),
    [
        (16, 0.001),
        (4, 0.01),
        (1, 0.1),
        (8, 10**-2.5),  # half way, in logarithms
        (2, 10**-1.5),
        (100, 0.001),
        (0.5, 0.1),
    ],
)
def test_prices_are_interpolated_and_end_with_the_list(generations: float, price: float) -> None:
    assert FOUR.price_for(generations) == pytest.approx(price)


def test_averages_that_do_not_fall_are_taken_as_level() -> None:
    # At the lower price a little less was spent than at the higher one: by luck.
    bumpy = listed((0.001, 8), (0.01, 4), (0.02, 4.1), (0.1, 1))
    found = [bumpy.price_for(generations) for generations in np.linspace(1, 8, 50)]
    assert all(dearer >= cheaper for dearer, cheaper in pairwise(found))
    assert bumpy.price_for(4.05) == pytest.approx(0.0203, abs=1e-4)
    assert bumpy.price_for(5) == pytest.approx(0.00505, rel=0.02)  # from 4.1 on, not from 4
    assert listed((0.01, 3)).price_for(7) == pytest.approx(0.01)


@pytest.mark.parametrize("points", [[], [(0.1, 2), (0.01, 4)], [(0.1, 2), (0.1, 4)]])
def test_prices_ascend(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValidationError, match="points"):
        listed(*points)


@pytest.mark.parametrize("change", [{"price": 0}, {"generations": 0.5}, {"accuracy": 1.1}])
def test_points_that_cannot_be(change: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PricePoint(**({"price": 0.1, "generations": 2, "accuracy": 0.5} | change))


@pytest.mark.parametrize("generations", [0, -1, float("nan")])
def test_an_average_of_nothing_has_no_price(generations: float) -> None:
    with pytest.raises(InputError, match=r"generations: .*: must be above 0"):
        FOUR.price_for(generations)


def test_a_list_survives_saving(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    FOUR.save(path)
    assert PriceList.load(path) == FOUR
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    with pytest.raises(InputError, match="no such file; make one"):
        PriceList.load(path)
    FOUR.save(path)
    with pytest.raises(InputError, match="no such file; make one"):
        PriceList.load(path / "prices.json")
    with pytest.raises(InputError, match="cannot be read"):
        PriceList.load(tmp_path)
    whole = path.read_text()
    damaged = [
        whole[: len(whole) // 2].encode(),
        whole.replace("0.001", "0.5").encode(),  # no longer ascending
        b"\xff\xfe",
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"damaged.*calibrate again"):
            PriceList.load(path)
    path.write_text(whole.replace('"schema_version": 3', '"schema_version": 4'))
    with pytest.raises(InputError, match="schema_version: 4: a newer library wrote it"):
        PriceList.load(path)


def test_older_lists_had_one_search_or_none(tmp_path: Path) -> None:
    search = Plan(strategy="beam_search", n=4, beam_width=2)
    schedule = schedule_of(2, (search,))
    known = PriceList(schedule=schedule, points=FOUR.points)
    older = known.model_dump(mode="json") | {"schema_version": 2}
    older["schedule"]["stages"] = [
        {
            "samples": stage.samples,
            "search": stage.searches[0].model_dump() if stage.searches else None,
        }
        for stage in schedule.stages
    ]
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(older))
    assert PriceList.load(path) == known


def cost_at(price: float, scale: float) -> int:
    """What a prompt costs that gains `scale` as far as it goes, as 1 - k^-0.5 of it is gained."""
    costs = np.array(SCHEDULE.costs)
    for stage in range(len(costs) - 1):
        gains = scale * (1 - (costs[stage] / costs[stage + 1 :]) ** 0.5) * costs[stage] ** -0.5
        if not worth_continuing(costs, stage, gains, price):
            return int(costs[stage])
    return int(costs[-1])


@pytest.mark.slow
def test_the_average_holds_on_a_stream_and_after_it_has_changed() -> None:
    rng = np.random.default_rng(0)
    easy, hard = rng.exponential(0.1, 3000), rng.exponential(0.4, 3000)
    price = PriceController(6, FOUR)
    started = price.value
    spent, prices = [], []
    for scale in [*easy, *hard]:
        prices.append(price.value)
        spent.append(cost_at(price.value, scale))
        price.end(price.begin(), spent[-1])
    assert started == pytest.approx(FOUR.price_for(6))
    assert np.mean(spent[:3000]) == pytest.approx(6, rel=0.03)
    assert np.mean(spent[3000:]) == pytest.approx(6, rel=0.03)
    # Prompts that gain four times as much are each held to a price as much higher.
    then, now = (np.exp(np.mean(np.log(part))) for part in (prices[1500:3000], prices[4500:]))
    assert now / then == pytest.approx(4, rel=0.25)
    # Without following the price, they cost far more.
    assert np.mean([cost_at(then, scale) for scale in hard]) > 9


def test_a_price_that_changes_nothing_does_not_wander_off() -> None:
    price = PriceController(6, FOUR)
    for _ in range(1000):
        price.end(price.begin(), 1)  # cheap, whatever the price
    assert price.value == pytest.approx(0.001 / 10)
    for _ in range(1000):
        price.end(price.begin(), 32)
    assert price.value == pytest.approx(0.1 * 10)


def test_one_prompt_moves_it_as_promised() -> None:
    price = PriceController(4, FOUR)
    price.end(price.begin(), 8)  # twice the average: five per cent
    assert price.value == pytest.approx(0.01 * np.exp(0.05))
    price.end(price.begin(), 4)
    assert price.value == pytest.approx(0.01 * np.exp(0.05))


def test_costs_count_in_the_order_in_which_prompts_began() -> None:
    price = PriceController(4, FOUR)
    first, second, third = (price.begin() for _ in range(3))
    price.end(second, 1)  # the cheap one ends first, and waits for the expensive one
    assert price.value == pytest.approx(0.01)
    price.end(first, 7)
    assert price.value == pytest.approx(0.01)
    price.end(third, None)  # failed: it counts for nothing
    assert price.value == pytest.approx(0.01)
    price.end(price.begin(), 8)
    assert price.value == pytest.approx(0.01 * np.exp(0.05))


def test_a_prompt_that_never_ends_is_overtaken_and_counts_when_it_does() -> None:
    price = PriceController(4, FOUR)
    late = price.begin()
    price.end(price.begin(), 8)
    assert price.value == pytest.approx(0.01)
    for _ in range(MOST_AWAITED):
        price.end(price.begin(), 4)
    assert price.value == pytest.approx(0.01 * np.exp(0.05))
    price.end(late, 8)
    assert price.value == pytest.approx(0.01 * np.exp(0.10))


def test_prompts_that_are_abandoned_do_not_slow_the_price_for_good() -> None:
    price = PriceController(4, FOUR)
    for _ in range(100):
        price.begin()
    for _ in range(MOST_AWAITED + 100):
        price.end(price.begin(), 4)
    before = price.value
    price.end(price.begin(), 8)
    assert price.value == pytest.approx(before * np.exp(0.05))


@pytest.mark.parametrize("in_flight", [1, 16, 64, 200])
def test_the_average_holds_though_cheap_prompts_end_first(in_flight: int) -> None:
    # One prompt in five is worth twenty times as much as the others, and takes longer.
    rng = np.random.default_rng(1)
    scales = np.where(rng.random(6000) < 0.2, 0.6, 0.03) * rng.exponential(1, 6000)
    calibrated = listed(
        *((p, float(np.mean([cost_at(p, s) for s in scales]))) for p in (0.001, 0.01, 0.1))
    )
    average = calibrated.points[1].generations
    price = PriceController(average, calibrated)
    waiting, running, spent = list(scales), list[tuple[float, int, int]](), list[int]()
    now = 0.0
    while waiting or running:
        while waiting and len(running) < in_flight:
            cost = cost_at(price.value, waiting.pop())
            running.append((now + 1 + np.log2(cost), price.begin(), cost))
        now, number, cost = min(running)
        running.remove((now, number, cost))
        spent.append(cost)
        price.end(number, cost)
    assert np.mean(spent) == pytest.approx(average, rel=0.02)


def test_less_than_one_generation_is_refused() -> None:
    with pytest.raises(InputError, match=r"average_budget: 0\.5"):
        PriceController(0.5, FOUR)
