"""Climbing a ladder that has a search on it, one rung at a time."""

import asyncio
from typing import Any

import numpy as np
import pytest

from allocator.plan import Plan
from allocator.schedule import Ladder, Rung, ladder_of
from predictors.gain_model import COLUMNS, Prospects
from runtime.prompt_run import PromptRun
from runtime.solving.adaptive_run import Climb
from runtime.strategies import STRATEGIES
from tests.support.artifacts import bent_decoder

SEARCH = Plan(strategy="beam_search", n=4, beam_width=2)
LADDER = ladder_of(4, SEARCH, after=2)
FLAT = Prospects(weights=(-3.0, *[0.0] * (len(COLUMNS) - 1)), rho=1.0)


def climb_of(tokenizer: Any, prompt: str = "60*1", ladder: Ladder = LADDER) -> Climb:
    return Climb(PromptRun(bent_decoder(tokenizer), prompt, seed=3), ladder, FLAT)


def test_every_rung_costs_what_the_ladder_says(tokenizer: Any) -> None:
    climb = climb_of(tokenizer)
    assert (climb.spent, climb.samples) == (0, [])
    costs, pools = [], []
    for _ in LADDER.rungs:
        asyncio.run(climb.up())
        costs.append(climb.run.cost.generations)
        pools.append(len(climb.samples))
        assert climb.spent == costs[-1]
    assert tuple(costs) == LADDER.costs == (1, 2, 6, 7, 8)
    assert pools == costs, "each generation is one solution in the pool"
    assert climb.first == climb.samples[:2]


def test_the_pool_is_the_plans_own_solutions(tokenizer: Any) -> None:
    climb = climb_of(tokenizer)
    for _ in LADDER.rungs:
        asyncio.run(climb.up())
    again = PromptRun(bent_decoder(tokenizer), "60*1", seed=3)
    independent = asyncio.run(again.samples(0, 4))
    searched = asyncio.run(STRATEGIES["beam_search"](again, SEARCH, ()))
    expected = [*independent[:2], *searched, *independent[2:]]
    assert [s.token_ids for s in climb.samples] == [s.token_ids for s in expected]


def test_a_search_on_the_first_rung(tokenizer: Any) -> None:
    ladder = Ladder(rungs=(Rung(samples=1, search=SEARCH), Rung(samples=2, search=SEARCH)))
    climb = climb_of(tokenizer, ladder=ladder)
    for generations in (5, 6):
        asyncio.run(climb.up())
        assert climb.run.cost.generations == climb.spent == generations
    assert climb.first == []


def test_gains_are_of_the_rungs_above_and_going_on_is_weighed_against_them(tokenizer: Any) -> None:
    climb = climb_of(tokenizer)
    asyncio.run(climb.up())
    # e^-3 (1 - 1/n), for n generations of the rungs above.
    expected = [np.exp(-3) * (1 - 1 / n) for n in (2, 6, 7, 8)]
    assert climb.gains == pytest.approx([0, *expected])
    best = expected[0] / 1
    assert climb.worth(0.99 * best)
    assert not climb.worth(1.01 * best)
    assert climb.why == f"1 samples: each generation more would have gained {100 * best:.2g} " + (
        "points at most"
    )
    for _ in LADDER.rungs[1:]:
        asyncio.run(climb.up())
    assert not climb.worth(1e-12)
    assert climb.why.endswith("the top of the ladder")
