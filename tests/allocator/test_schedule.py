"""Schedules, what their stages add, and which prompts continue, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.schedule import (
    Addition,
    Schedule,
    Stage,
    allocate_stage,
    schedule_of,
    worth_continuing,
)

SEARCH = Plan(strategy="beam_search", n=4, beam_width=2)
OTHER = Plan(strategy="beam_search", n=8, beam_width=2)


def test_a_schedule_without_searches_costs_the_same() -> None:
    schedule = schedule_of(8, [SEARCH, OTHER], after=2)
    assert schedule.without_searches.costs == schedule.costs
    assert schedule.without_searches.searches == ()
    assert schedule_of(8).without_searches == schedule_of(8)


def test_a_stage_costs_its_samples_and_its_search() -> None:
    assert Stage(samples=3).cost == 3
    assert Stage(samples=3, searches=(SEARCH,)).cost == 7
    ahead = Plan(strategy="beam_search", n=4, beam_width=2, lookahead=1)
    assert Stage(samples=3, searches=(ahead, SEARCH)).cost == 3 + 8 + 4
    assert str(Stage(samples=3)) == "3 samples"
    assert str(Stage(samples=3, searches=(SEARCH,))) == "3 samples and beam search N=4 M=2"


@pytest.mark.parametrize(
    "stages",
    [
        [Stage(samples=2), Stage(samples=2)],
        [Stage(samples=4), Stage(samples=2)],
        [
            Stage(samples=2),
            Stage(samples=1, searches=(SEARCH,)),
        ],  # a sample is dropped
        [Stage(samples=1, searches=(SEARCH,)), Stage(samples=8)],  # the search is dropped
        [Stage(samples=1, searches=(SEARCH,)), Stage(samples=1, searches=(OTHER,))],
        [Stage(samples=1, searches=(SEARCH,)), Stage(samples=1, searches=(OTHER, SEARCH))],
    ],
)
def test_stages_that_drop_something_are_refused(stages: list[Stage]) -> None:
    with pytest.raises(ValidationError, match="let each stage add to the last"):
        Schedule(stages=tuple(stages))


def test_a_schedule_needs_a_stage() -> None:
    with pytest.raises(ValidationError):
        Schedule(stages=())


def test_steps_of_about_a_half_more() -> None:
    assert schedule_of(1).costs == (1,)
    assert schedule_of(3).costs == (1, 2, 3)
    assert schedule_of(16).costs == (1, 2, 3, 4, 6, 8, 12, 16)
    assert schedule_of(20).costs == (1, 2, 3, 4, 6, 8, 12, 16, 20)
    assert not schedule_of(16).searches


def test_the_search_comes_after_the_samples_asked_for() -> None:
    first = schedule_of(4, (SEARCH,))
    assert [(stage.samples, stage.searches) for stage in first.stages] == [
        (1, ()),
        (1, (SEARCH,)),
        (2, (SEARCH,)),
        (3, (SEARCH,)),
        (4, (SEARCH,)),
    ]
    assert first.costs == (1, 5, 6, 7, 8)
    assert schedule_of(4, (SEARCH,), after=2).costs == (1, 2, 6, 7, 8)


def test_searches_are_run_one_after_the_other() -> None:
    schedule = schedule_of(4, (SEARCH, OTHER), after=2)
    assert schedule.costs == (1, 2, 6, 14, 15, 16)
    assert schedule.searches == (SEARCH, OTHER)
    added = [schedule.added(stage).searches for stage in range(6)]
    assert added == [(), (), (SEARCH,), (OTHER,), (), ()]
    # A stage may run several at once.
    at_once = Schedule(stages=(Stage(samples=1), Stage(samples=1, searches=(SEARCH, OTHER))))
    assert at_once.added(1) == Addition(1, 1, (SEARCH, OTHER))


@given(
    st.integers(1, 200),
    st.sampled_from([(), (SEARCH,), (SEARCH, OTHER)]),
    st.sampled_from([1, 2, 4]),
)
def test_every_schedule_reads_back(most: int, searches: tuple[Plan, ...], after: int) -> None:
    schedule = schedule_of(max(most, after), searches, after)
    assert Schedule.model_validate_json(schedule.model_dump_json()) == schedule
    assert 2 * schedule.stages[-1].samples > most


def test_continuing_pays_if_any_later_stage_does() -> None:
    costs = [1, 2, 4, 8]
    # From the second stage: 2 generations more for 0.01, or 6 for 0.13.
    gains = [0.01, 0.13]
    assert worth_continuing(costs, 1, gains, 0.02)
    assert not worth_continuing(costs, 1, gains, 0.13 / 6 + 1e-9)
    assert worth_continuing(costs, 0, [[0, 0, 0], [0.1, 0.1, 0.1]], 0.05).tolist() == [False, True]
    # Worth just its price is not more than it; and at the top there is nowhere to go.
    assert not worth_continuing(costs, 2, [0.25], 0.0625)
    assert worth_continuing(costs, 3, np.zeros((2, 0)), 0.0).tolist() == [False, False]


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.floats(0, 1), st.floats(0, 1))
def test_a_greater_price_lets_nobody_go_on(gains: list[float], one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert worth_continuing([1, 2, 4, 8], 0, gains, low) or not worth_continuing(
        [1, 2, 4, 8], 0, gains, high
    )


def test_the_greatest_gains_continue() -> None:
    costs, stages = [1, 2, 4], np.array([0, 0, 1, 2])
    gains = np.array([[9, 0.1, 0.2], [9, 0.3, 0.3], [9, 9, 0.5], [9, 9, 9]])
    # By generation: 0.3 of the second's first, 0.25 of the third's, then 0.1 of the first's.
    continuing = [
        allocate_stage(costs, stages, gains, left).tolist() for left in (0, 1, 2, 3, 4, 6)
    ]
    assert continuing == [
        [False, False, False, False],
        [False, True, False, False],
        # The third costs 2: what is left after the second does not pay for it.
        [True, True, False, False],
        [False, True, True, False],
        [True, True, True, False],
        [True, True, True, False],
    ]


def test_nothing_continues_without_a_gain() -> None:
    still = allocate_stage([1, 2, 4], np.array([0, 1]), np.zeros((2, 3)), 100)
    assert still.tolist() == [False, False]
    assert not len(allocate_stage([1, 2], np.array([], dtype=int), np.zeros((0, 2)), 5))
    with pytest.raises(InputError, match="total"):
        allocate_stage([1, 2], np.array([0]), np.zeros((1, 2)), -1)


def test_what_each_stage_adds() -> None:
    search = Plan(strategy="beam_search", n=4, beam_width=2)
    schedule = schedule_of(4, (search,), after=2)
    added = [schedule.added(number) for number in range(len(schedule.stages))]
    assert added == [
        Addition(0, 1, ()),
        Addition(1, 2, ()),
        Addition(2, 2, (search,)),
        Addition(2, 3, ()),
        Addition(3, 4, ()),
    ]
