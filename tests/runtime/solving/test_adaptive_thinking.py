"""Runs over width and depth: what they do at a price, and what they cost, by a scripted model."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import InputError
from predictors.branches import Branch
from predictors.thinking_policy import Action
from runtime.artifact import Artifact
from runtime.result import Spend
from runtime.solving.adaptive_thinking import AdaptiveThinking
from runtime.solving.solve import Solver
from tests.support.thinking import SETTINGS, ScriptedThinker, thinking_run
from tests.support.token_budgets import POLICY


def advanced(length: int, *actions: Action) -> AdaptiveThinking:
    run = AdaptiveThinking(thinking_run(ScriptedThinker(length)), POLICY)

    async def all_of_them() -> None:
        for action in actions:
            await run.advance(action)

    asyncio.run(all_of_them())
    return run


def test_a_thought_is_probed_as_far_as_it_goes() -> None:
    run = advanced(30, Action.SAMPLE)
    # Of eleven tokens one is a newline; what was forced at five and ten differs from it.
    assert run.branches == [Branch("10", 11, 11, "capped")]
    assert run.prompt_run.cost.generations == 1
    # A thought of 3 letters ends by itself after 5 tokens, where a probe gives another answer.
    short = advanced(3, Action.SAMPLE)
    (branch,) = short.branches
    assert branch == Branch("3", 5, 5, "finished", -short.samples[0].logprob)
    assert branch.nll > 0


def test_deepening_goes_on_from_what_was_thought() -> None:
    run = advanced(30, Action.SAMPLE, Action.SAMPLE, Action.DEEPEN)
    assert (run.level, run.stage, run.cap) == (1, 1, None)
    assert [branch.state for branch in run.branches] == ["finished"] * 2
    assert [branch.answer for branch in run.branches] == ["30", "30"]
    assert run.prompt_run.cost.generations == 2
    # Each token of the thoughts was sampled once; the openings' newlines were not sampled.
    assert run.prompt_run.cost.thinking_tokens == 2 * 31


def test_a_request_that_caps_thoughts_is_not_thought_beyond() -> None:
    engine = ScriptedThinker(30)
    run = AdaptiveThinking(thinking_run(engine, replace(SETTINGS, thinking=7)), POLICY)
    asyncio.run(run.advance(Action.SAMPLE))
    requests = len(engine.requests)
    asyncio.run(run.advance(Action.DEEPEN))
    assert run.branches == [Branch("6", 7, 7, "capped")]
    assert len(engine.requests) == requests


def test_finished_thoughts_are_not_deepened() -> None:
    run = advanced(3, Action.SAMPLE, Action.DEEPEN)
    assert [branch.depth for branch in run.branches] == [5]
    assert run.prompt_run.cost.thinking_tokens == 4


def test_an_answer_that_stood_earlier_is_known() -> None:
    """A thought in which no letter is added has the same answer at every probe."""
    engine = ScriptedThinker(30, thought=" ")  # spaces are stripped: all answers are 0
    engine.length = 30
    run = AdaptiveThinking(thinking_run(engine), POLICY)
    asyncio.run(run.advance(Action.SAMPLE))
    assert run.branches == [Branch("0", 11, 5, "capped")]


def test_direct_answers_come_first() -> None:
    policy = POLICY.model_copy(update={"direct": 1, "direct_gain": POLICY.sampling[0]})
    run = AdaptiveThinking(thinking_run(ScriptedThinker(30)), policy)
    asyncio.run(run.advance(Action.SAMPLE))
    (direct,) = run.branches
    assert (direct.state, run.thinking) == ("direct", 0)
    assert run.prompt_run.cost.thinking_tokens == 0
    assert direct.depth == run.samples[0].tokens
    assert direct.nll == -run.samples[0].logprob > 0
    asyncio.run(run.advance(Action.SAMPLE))
    assert [branch.state for branch in run.branches] == [
        "direct",
        *["capped"] * (policy.stages[1] - 1),
    ]
    assert run.thinking == run.cap == 11
    assert "1 direct answer" in run.why
    asyncio.run(run.advance(Action.DEEPEN))
    assert run.branches[0] == direct


def test_direct_answers_are_not_deepened_where_the_prompt_begins_the_thought() -> None:
    policy = POLICY.model_copy(update={"direct": 1, "direct_gain": POLICY.sampling[0]})
    run = AdaptiveThinking(thinking_run(ScriptedThinker(30), prompt="U:?A:<think>\n"), policy)
    for action in (Action.SAMPLE, Action.SAMPLE):
        asyncio.run(run.advance(action))
    direct = run.branches[0]
    asyncio.run(run.advance(Action.DEEPEN))
    assert run.branches[0] == direct
    assert direct.state == "direct"


def test_a_request_without_thought_gets_direct_answers() -> None:
    run = AdaptiveThinking(thinking_run(ScriptedThinker(30), replace(SETTINGS, thinking=0)), POLICY)
    asyncio.run(run.advance(Action.SAMPLE))
    assert [branch.state for branch in run.branches] == ["direct"]
    assert run.thinking == 0
    assert "1 direct answer" in run.why


def test_the_last_stage_is_the_reason_only_at_the_deepest_cap() -> None:
    stages = [Action.SAMPLE] * len(POLICY.stages)
    assert advanced(30, *stages).why.startswith("neither another thought nor a deeper one")
    deepest = advanced(30, *stages, *[Action.DEEPEN] * (len(POLICY.caps) - 1))
    assert deepest.why.startswith("it reached the last stage")


def solving(bent: Artifact, length: int) -> Solver:
    models = thinking_run(ScriptedThinker(length)).models
    sampling = bent.settings.sampling.model_copy(update={"max_tokens": 200})
    settings = bent.settings.model_copy(update={"sampling": sampling})
    return Solver(models, replace(bent, thinking=POLICY, settings=settings))


@pytest.mark.parametrize(("price", "thoughts"), [(1e-9, 4), (1.0, 1)])
def test_a_price_decides_how_much_is_thought(bent: Artifact, price: float, thoughts: int) -> None:
    result = asyncio.run(solving(bent, 30).think_at_price("U:?A:", price))
    assert result.receipt.plan.n == thoughts
    assert result.receipt.plan.thinking == (None if price < 1e-6 else 11)
    assert result.receipt.generations == thoughts
    assert result.receipt.price_of_token == price
    assert f"{thoughts} thought{'s' if thoughts > 1 else ''} of" in result.receipt.why


def test_an_average_of_tokens_is_a_price(bent: Artifact) -> None:
    results: list[Any] = asyncio.run(
        solving(bent, 30).solve_all(["U:?A:", "U:!A:"], Spend(average_tokens=900))
    )
    assert [result.receipt.price_of_token for result in results] == [pytest.approx(1e-6)] * 2
    without = Solver(solving(bent, 3).models, bent)
    with pytest.raises(InputError, match="not calibrated on thoughts of several depths"):
        asyncio.run(without.think_at_price("U:?A:", 0.1))
    with pytest.raises(InputError, match="price: 0: must be positive"):
        asyncio.run(solving(bent, 3).think_at_price("U:?A:", 0))
