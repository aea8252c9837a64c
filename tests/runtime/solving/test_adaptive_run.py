"""An adaptive run on a schedule with a search, one stage at a time."""

import asyncio
from typing import Any

import numpy as np
import pytest

from allocator.plan import Plan
from allocator.schedule import Schedule, Stage, schedule_of
from calibration.replay.adaptive_run import AdaptiveRuns, Searched, draws_of, replay_run
from predictors.gain_model import COLUMNS, GainModel
from runtime.answers.selection import select
from runtime.prompt_run import PromptRun
from runtime.solving.adaptive_run import AdaptiveRun
from runtime.strategies import STRATEGIES
from tests.support.artifacts import RIGHT, bent_models
from tests.support.fakes import COIN_SETTINGS

SEARCH = Plan(strategy="beam_search", n=4, beam_width=2)
GREATER = Plan(strategy="beam_search", n=8, beam_width=2)
SCHEDULE = schedule_of(4, (SEARCH,), after=2)
FLAT = GainModel(weights=(-3.0, *[0.0] * (len(COLUMNS) - 1)), rho=1.0)


def run_of(tokenizer: Any, prompt: str = "60*1", schedule: Schedule = SCHEDULE) -> AdaptiveRun:
    return AdaptiveRun(
        PromptRun(bent_models(tokenizer), COIN_SETTINGS, prompt, seed=3), schedule, FLAT
    )


def test_every_stage_costs_what_the_schedule_says(tokenizer: Any) -> None:
    adaptive_run = run_of(tokenizer)
    assert adaptive_run.samples == []
    costs, pools = [], []
    for _ in SCHEDULE.stages:
        asyncio.run(adaptive_run.advance())
        costs.append(adaptive_run.prompt_run.cost.generations)
        pools.append(len(adaptive_run.samples))
    assert tuple(costs) == SCHEDULE.costs == (1, 2, 6, 7, 8)
    assert pools == costs, "each generation is one solution in the pool"


def test_the_pool_is_the_plans_own_solutions(tokenizer: Any) -> None:
    adaptive_run = run_of(tokenizer)
    for _ in SCHEDULE.stages:
        asyncio.run(adaptive_run.advance())
    again = PromptRun(bent_models(tokenizer), COIN_SETTINGS, "60*1", seed=3)
    independent = asyncio.run(again.samples(0, 4))
    searched = asyncio.run(STRATEGIES["beam_search"](again, SEARCH, ()))
    expected = [*independent[:2], *searched, *independent[2:]]
    assert [s.token_ids for s in adaptive_run.samples] == [s.token_ids for s in expected]


def test_a_search_on_the_first_stage(tokenizer: Any) -> None:
    schedule = Schedule(
        stages=(Stage(samples=1, searches=(SEARCH,)), Stage(samples=2, searches=(SEARCH,)))
    )
    adaptive_run = run_of(tokenizer, schedule=schedule)
    for generations in (5, 6):
        asyncio.run(adaptive_run.advance())
        assert adaptive_run.prompt_run.cost.generations == generations


def test_gains_are_of_later_stages_and_continuing_is_weighed_against_them(tokenizer: Any) -> None:
    adaptive_run = run_of(tokenizer)
    asyncio.run(adaptive_run.advance())
    # e^-3 (1 - 1/n), for n generations of the stages above.
    expected = [np.exp(-3) * (1 - 1 / n) for n in (2, 6, 7, 8)]
    assert adaptive_run.gains == pytest.approx([0, *expected])
    best = expected[0] / 1
    assert adaptive_run.worth(0.99 * best)
    assert not adaptive_run.worth(1.01 * best)
    assert (
        adaptive_run.why
        == f"1 sample: each generation more would have gained {100 * best:.2g} "
        + ("points at most")
    )
    for _ in SCHEDULE.stages[1:]:
        asyncio.run(adaptive_run.advance())
    assert not adaptive_run.worth(1e-12)
    assert adaptive_run.why.endswith("the last stage of the schedule")


@pytest.mark.parametrize(
    "schedule",
    [
        SCHEDULE,
        schedule_of(4),
        schedule_of(4, (SEARCH, GREATER), after=2),
        # A stage that adds samples and a search: samples come first.
        Schedule(stages=(Stage(samples=1), Stage(samples=3, searches=(SEARCH,)))),
        Schedule(
            stages=(Stage(samples=2, searches=(SEARCH,)), Stage(samples=4, searches=(SEARCH,)))
        ),
    ],
)
@pytest.mark.parametrize("prompt", ["60*1", "40*2", "75*3"])
def test_a_replayed_run_has_the_states_of_the_served_one(
    tokenizer: Any, schedule: Schedule, prompt: str
) -> None:
    served = run_of(tokenizer, prompt, schedule)
    states, leaders, tokens = [], [], []
    for _ in schedule.stages:
        asyncio.run(served.advance())
        states.append(served.reached.state)
        leaders.append(select(served.samples, "weighted").answer)
        tokens.append(served.prompt_run.cost.sampled_tokens)
    again = PromptRun(bent_models(tokenizer), COIN_SETTINGS, prompt, seed=3)
    independent = asyncio.run(again.canonicalize(asyncio.run(again.samples(0, 4))))
    searches = {}
    for search in schedule.searches:
        before = again.cost.sampled_tokens
        found = asyncio.run(STRATEGIES[search.strategy](again, search, ()))
        searches[search] = Searched(draws_of(found), again.cost.sampled_tokens - before)
    runs = AdaptiveRuns.empty(1, 1, len(schedule.stages))
    replay_run(
        runs,
        (0, 0),
        schedule,
        len(again.context.token_ids),
        RIGHT,
        draws_of(independent),
        searches,
    )
    np.testing.assert_array_equal(runs.states[0, 0], states)
    assert runs.correct[0, 0].tolist() == [leader == RIGHT for leader in leaders]
    assert runs.tokens[0, 0].tolist() == tokens
