"""Climbing a schedule that has a search on it, one stage at a time."""

import asyncio
from typing import Any

import numpy as np
import pytest

from allocator.plan import Plan
from allocator.schedule import Schedule, Stage, schedule_of
from predictors.gain_model import COLUMNS, GainModel
from runtime.prompt_run import PromptRun
from runtime.solving.adaptive_run import AdaptiveRun
from runtime.strategies import STRATEGIES
from tests.support.artifacts import bent_models
from tests.support.fakes import COIN_SETTINGS

SEARCH = Plan(strategy="beam_search", n=4, beam_width=2)
SCHEDULE = schedule_of(4, SEARCH, after=2)
FLAT = GainModel(weights=(-3.0, *[0.0] * (len(COLUMNS) - 1)), rho=1.0)


def climb_of(tokenizer: Any, prompt: str = "60*1", schedule: Schedule = SCHEDULE) -> AdaptiveRun:
    return AdaptiveRun(
        PromptRun(bent_models(tokenizer), COIN_SETTINGS, prompt, seed=3), schedule, FLAT
    )


def test_every_rung_costs_what_the_ladder_says(tokenizer: Any) -> None:
    adaptive_run = climb_of(tokenizer)
    assert (adaptive_run.spent, adaptive_run.samples) == (0, [])
    costs, pools = [], []
    for _ in SCHEDULE.stages:
        asyncio.run(adaptive_run.up())
        costs.append(adaptive_run.run.cost.generations)
        pools.append(len(adaptive_run.samples))
        assert adaptive_run.spent == costs[-1]
    assert tuple(costs) == SCHEDULE.costs == (1, 2, 6, 7, 8)
    assert pools == costs, "each generation is one solution in the pool"
    assert adaptive_run.first == adaptive_run.samples[:2]


def test_the_pool_is_the_plans_own_solutions(tokenizer: Any) -> None:
    adaptive_run = climb_of(tokenizer)
    for _ in SCHEDULE.stages:
        asyncio.run(adaptive_run.up())
    again = PromptRun(bent_models(tokenizer), COIN_SETTINGS, "60*1", seed=3)
    independent = asyncio.run(again.samples(0, 4))
    searched = asyncio.run(STRATEGIES["beam_search"](again, SEARCH, ()))
    expected = [*independent[:2], *searched, *independent[2:]]
    assert [s.token_ids for s in adaptive_run.samples] == [s.token_ids for s in expected]


def test_a_search_on_the_first_rung(tokenizer: Any) -> None:
    schedule = Schedule(stages=(Stage(samples=1, search=SEARCH), Stage(samples=2, search=SEARCH)))
    adaptive_run = climb_of(tokenizer, schedule=schedule)
    for generations in (5, 6):
        asyncio.run(adaptive_run.up())
        assert adaptive_run.run.cost.generations == adaptive_run.spent == generations
    assert adaptive_run.first == []


def test_gains_are_of_the_rungs_above_and_going_on_is_weighed_against_them(tokenizer: Any) -> None:
    adaptive_run = climb_of(tokenizer)
    asyncio.run(adaptive_run.up())
    # e^-3 (1 - 1/n), for n generations of the stages above.
    expected = [np.exp(-3) * (1 - 1 / n) for n in (2, 6, 7, 8)]
    assert adaptive_run.gains == pytest.approx([0, *expected])
    best = expected[0] / 1
    assert adaptive_run.worth(0.99 * best)
    assert not adaptive_run.worth(1.01 * best)
    assert (
        adaptive_run.why
        == f"1 samples: each generation more would have gained {100 * best:.2g} "
        + ("points at most")
    )
    for _ in SCHEDULE.stages[1:]:
        asyncio.run(adaptive_run.up())
    assert not adaptive_run.worth(1e-12)
    assert adaptive_run.why.endswith("the top of the schedule")
