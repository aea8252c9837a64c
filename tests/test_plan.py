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


@given(budget=st.integers(1, 300), pilots=st.integers(0, 8))
def test_every_plan_of_the_grid_fits_the_budget(budget: int, pilots: int) -> None:
    if pilots > budget:
        return
    grid = plan_grid(budget, pilots)
    costs = [plan.cost(pilots) for plan in grid]
    assert costs == sorted(costs)
    assert costs[-1] <= budget
    assert len(set(grid)) == len(grid)
    assert Plan(strategy="best_of_n", n=budget) in grid


def test_the_grid_holds_the_papers_beam_searches() -> None:
    beams = {(p.n, p.beam_width) for p in plan_grid(64, 0) if p.strategy == "beam_search"}
    assert {beam for beam in beams if beam[0] == 64} == {(64, 8), (64, 4)}
    assert (16, 4) in beams
    assert {(60, 4), (56, 7), (12, 4)} <= {(p.n, p.beam_width) for p in plan_grid(64, 4)}


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
    ],
)
def test_parse_plan_names_what_is_wrong(text: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_plan(text)
    assert caught.value.field == field
