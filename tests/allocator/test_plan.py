"""Plans, their cost and the grid of plans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from allocator.errors import InputError
from allocator.plan import Plan, parse_plan, plan_grid


def test_pilots_are_part_of_best_of_n_and_on_top_of_beam_search() -> None:
    assert Plan(strategy="best_of_n", n=16).cost(pilots=4) == 16
    assert Plan(strategy="best_of_n", n=2).cost(pilots=4) == 4
    assert Plan(strategy="beam_search", n=12, beam_width=4).cost(pilots=4) == 16


def test_a_width_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValidationError, match="divisor of n = 6"):
        Plan(strategy="beam_search", n=6, beam_width=4)
    with pytest.raises(ValidationError, match="best_of_n has none"):
        Plan(strategy="best_of_n", n=4, beam_width=2)


EVERY = ("best_of_n", "beam_search", "dvts", "revisions", "beam_revisions")


@given(budget=st.integers(1, 300), pilots=st.integers(0, 8))
def test_every_plan_of_the_grid_fits_the_budget(budget: int, pilots: int) -> None:
    if pilots > budget:
        return
    grid = plan_grid(budget, pilots, EVERY)
    costs = [plan.cost(pilots) for plan in grid]
    assert costs == sorted(costs)
    assert costs[-1] <= budget
    assert len(set(grid)) == len(grid)
    assert Plan(strategy="best_of_n", n=budget) in grid


def searches(budget: int, pilots: int, strategy: str = "beam_search") -> set[tuple[int, int]]:
    found = plan_grid(budget, pilots, ("best_of_n", strategy), 256)
    return {(plan.n, plan.beam_width) for plan in found if plan.strategy == strategy}


# With a single subtree, DVTS is beam search.
@pytest.mark.parametrize(
    ("strategy", "single"), [("beam_search", {(2, 2), (4, 4)}), ("dvts", set())]
)
def test_the_grid_holds_the_papers_beam_searches(
    strategy: str, single: set[tuple[int, int]]
) -> None:
    # M = sqrt(N), where that is no power of two the one below it but at least 2; and M = 4.
    small = {(4, 2), (8, 2), (8, 4), (16, 4)} | single
    assert searches(16, 0, strategy) == small
    assert searches(31, 0, strategy) == small
    assert searches(64, 0, strategy) == small | {(32, 4), (64, 8), (64, 4)}
    assert searches(1, 0, strategy) == set()


def test_every_width_is_every_power_of_two_that_divides_the_beams() -> None:
    found = plan_grid(16, 0, ("beam_search", "dvts"), 16, every_width=True)
    widths = {(n, width) for n in (2, 4, 8, 16) for width in (2, 4, 8, 16) if width <= n}
    several = {(n, width) for n, width in widths if width < n}
    for strategy, wanted in (("beam_search", widths), ("dvts", several)):
        assert {(p.n, p.beam_width) for p in found if p.strategy == strategy} == wanted


def test_lookahead_is_considered_where_it_is_wanted_and_fits() -> None:
    found = [p for p in plan_grid(16, 0, lookaheads=(1, 3)) if p.lookahead]
    # Each costs its beams times one more than the lookahead; M = 4 as in the paper.
    assert {(p.n, p.beam_width, p.lookahead) for p in found} == {
        *((2, 2, 1), (4, 4, 1), (8, 4, 1)),
        *((2, 2, 3), (4, 4, 3)),
    }
    assert all(p.cost(0) <= 16 for p in found)
    assert not any(p.lookahead for p in plan_grid(16, 0, ("dvts",), lookaheads=(1,)))


def test_no_search_is_larger_than_asked_for() -> None:
    largest = {
        most: max(p.n for p in plan_grid(64, 0, max_beams=most) if p.beam_width > 1)
        for most in (4, 16, 64)
    }
    assert largest == {4: 4, 16: 16, 64: 64}


@given(budget=st.integers(1, 300), pilots=st.integers(0, 8))
def test_pilots_ask_for_no_search_that_is_not_sampled_anyway(budget: int, pilots: int) -> None:
    beside = searches(budget, min(pilots, budget))
    assert beside == searches(max(budget - pilots, 1), 0)
    assert beside <= searches(budget, 0)


def test_revised_beams_are_a_quarter_of_the_generations() -> None:
    found = [p for p in plan_grid(64, 0, ("beam_revisions",), 64) if p.strategy == "beam_revisions"]
    # 16 generations are 4 beams, of which the square root is 2; below that there is no search.
    assert [(p.n, p.beams, p.beam_width, p.length) for p in found] == [
        (16, 4, 2, 4),
        (32, 8, 2, 4),
        (64, 16, 4, 4),
    ]


def test_revisions_at_every_ratio_with_pilots_as_first_attempts() -> None:
    chains = {(p.n, p.length) for p in plan_grid(8, 2, ("revisions",)) if p.strategy == "revisions"}
    # One chain of 8 leaves a pilot outside of it: 9 generations, over the budget.
    assert chains == {(2, 2), (4, 2), (4, 4), (8, 2), (8, 4)}


def test_parse_plan() -> None:
    assert parse_plan("beam_search:16:4") == Plan(strategy="beam_search", n=16, beam_width=4)
    assert parse_plan("best_of_n:8") == Plan(strategy="best_of_n", n=8)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("mcts:8", "strategy"),
        ("best_of_n", "plan"),
        ("best_of_n:many", "plan"),
        ("beam_search:6:4", "plan"),
        ("best_of_n:0", "plan"),
        ("best_of_n:" + "9" * 5000, "plan"),
    ],
)
def test_parse_plan_names_what_is_wrong(text: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_plan(text)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "pilots", "whole"),
    [
        ("best_of_n:8:majority", 2, "best_of_n:8:majority"),
        ("best_of_n:4:2000", 2, "best_of_n:4:2000"),
        ("beam_search:8:4", 0, "best_of_n:8"),
        ("beam_search:8:4:1", 2, "best_of_n:18"),
        ("revisions:8:4", 2, "best_of_n:8"),
    ],
)
def test_best_of_n_stands_for_any_other_plan_at_its_cost(
    text: str, pilots: int, whole: str
) -> None:
    plan = parse_plan(text)
    assert plan.without_search(pilots) == parse_plan(whole)
    assert plan.without_search(pilots).cost(pilots) == plan.cost(pilots)
