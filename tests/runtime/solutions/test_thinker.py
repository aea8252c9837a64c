"""Thoughts capped, skipped and thought on, by a model of which all is known."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.answers.forms import answers_of
from runtime.engines.base import Completion
from runtime.engines.constraint import Constraint
from runtime.frontend.answer_form import structured_form
from runtime.prompt_run import PromptRun
from runtime.solutions.beam import Beam
from runtime.solutions.thinker import deepest_cap
from runtime.strategies.best_of_n import best_of_n
from tests.support.thinking import (
    END,
    SETTINGS,
    LoopingThinker,
    ScriptedThinker,
    thinking_models,
    thinking_run,
)
from tests.support.tokenizers import byte_tokenizer

# A thought of 30 letters has 32 tokens: a newline stands before and after them.
LETTERS, NATURAL = 30, 32


def drawn(run: PromptRun, thinking: int | None = None) -> Sample:
    return asyncio.run(run.sample(0, thinking))


def test_a_thought_is_left_to_the_model_in_one_request() -> None:
    engine = ScriptedThinker(LETTERS)
    run = thinking_run(engine)
    sample = drawn(run)
    assert (sample.answer, sample.thinking, sample.forced, sample.ended) == ("30", 32, False, True)
    assert sample.reasoning == f"\n{'a' * LETTERS}\n"
    assert sample.content == "\n\n#30\n<end>"
    assert len(engine.requests) == 1
    assert run.cost.thinking_tokens == NATURAL


def test_a_thought_at_its_cap_is_cut_off_and_the_answer_goes_on_from_it() -> None:
    engine = ScriptedThinker(LETTERS)
    run = thinking_run(engine)
    sample = drawn(run, 11)
    # The opening has a newline, which counts; ten letters were thought.
    assert engine.requests == [
        ("<think>\n", 10),
        ("<think>\naaaaaaaaaa\n</think>\n\n", 200 - 2 - 10 - 4),
    ]
    assert (sample.answer, sample.thinking, sample.forced, sample.ended) == ("10", 11, True, True)
    assert sample.text == "<think>\naaaaaaaaaa\n</think>\n\n#10\n<end>"
    # What was appended was not sampled.
    assert run.cost.sampled_tokens == 10 + len("#10\n") + 1
    assert (run.cost.thinking_tokens, run.cost.generations) == (10, 1)


def test_a_thought_that_ends_before_its_cap_is_not_forced() -> None:
    sample = drawn(thinking_run(ScriptedThinker(LETTERS)), 50)
    assert (sample.answer, sample.thinking, sample.forced) == ("30", 32, False)


def test_without_thought_the_answer_comes_at_once() -> None:
    engine = ScriptedThinker(LETTERS)
    run = thinking_run(engine)
    sample = drawn(run, 0)
    assert engine.requests == [("<think>\n\n</think>\n\n", 194)]
    assert (sample.answer, sample.forced) == ("0", False)
    assert run.cost.thinking_tokens == 0


@pytest.mark.parametrize(("thinking", "answer"), [(None, "30"), (11, "11"), (0, "0")])
def test_a_prompt_may_have_begun_the_thought(thinking: int | None, answer: str) -> None:
    engine = ScriptedThinker(LETTERS)
    sample = drawn(thinking_run(engine, prompt="U:?A:<think>\n"), thinking)
    assert sample.answer == answer
    assert sample.forced == (thinking is not None)


def test_a_prompt_that_has_skipped_the_thought_has_none() -> None:
    engine = ScriptedThinker(LETTERS)
    sample = drawn(thinking_run(engine, prompt="U:?A:<think>\n\n</think>\n\n"), 11)
    assert (sample.answer, sample.thinking, len(engine.requests)) == ("0", None, 1)


def test_a_cut_off_thought_is_thought_on_from_its_own_tokens() -> None:
    engine = ScriptedThinker(LETTERS)
    run = thinking_run(engine)

    async def deepened() -> list[Sample]:
        first = await run.sample(0, 11)
        second = await run.continue_thought(first, 0, 21)
        return [first, second, await run.continue_thought(second, 0, None)]

    samples = asyncio.run(deepened())
    assert [sample.answer for sample in samples] == ["10", "20", "30"]
    assert [sample.thinking for sample in samples] == [11, 21, 32]
    assert [sample.forced for sample in samples] == [True, True, False]
    # Neither forced answer stands in what the next request goes on from.
    assert engine.requests[2][0] == "<think>\n" + "a" * 10
    assert engine.requests[4][0] == "<think>\n" + "a" * 20
    assert run.cost.generations == 1
    assert run.cost.thinking_tokens == 31  # all but the opening's newline, each once


def test_a_thought_that_is_cut_off_does_not_tell_how_long_it_was() -> None:
    def cut(letters: int) -> Sample:
        run = thinking_run(ScriptedThinker(letters))

        async def capped() -> Sample:
            return await run.continue_thought(await run.sample(0), 0, 11, kept=11)

        return asyncio.run(capped())

    short, long = cut(30), cut(300)
    assert short.tokens == long.tokens
    assert short.logprob == pytest.approx(long.logprob, rel=0.2)


def test_stops_and_step_ends_sleep_until_the_thought_has_ended() -> None:
    settings = replace(SETTINGS, stops=("aaa",))
    sample = drawn(thinking_run(ScriptedThinker(LETTERS), settings))
    assert sample.answer == "30"
    # After the thought they are awake.
    awake = drawn(thinking_run(ScriptedThinker(LETTERS), replace(SETTINGS, stops=("#",))))
    assert (awake.answer, awake.ended) == (None, True)


def test_a_search_takes_the_thought_for_its_first_step() -> None:
    run = thinking_run(ScriptedThinker(LETTERS, thought="a\n"))

    async def two_steps() -> Beam:
        first = await run.extend(Beam(), ("x", 0))
        return await run.extend(first, ("x", 1))

    beam = asyncio.run(two_steps())
    decode = run.models.engine.tokenizer.decode
    assert decode(beam.steps[0]) == "<think>\n" + "a\n" * 15 + "\n</think>\n"
    assert decode(beam.steps[1]) == "\n"
    assert not beam.stopped


def test_a_model_that_does_not_think_keeps_its_stops() -> None:
    engine = ScriptedThinker(LETTERS, begins=False)
    sample = drawn(thinking_run(engine, replace(SETTINGS, stops=("#",))))
    assert sample.text == "plain\n"
    assert [most for _, most in engine.requests] == [1, 199]


class SpacedThinker(ScriptedThinker):
    """Begins thoughts on a new line, as GLM-4.5 does."""

    def _rest(self, before: str, prompt: str, seed: int) -> str:
        newline = "" if before else "\n"
        return newline + super()._rest(before.removeprefix("\n"), prompt, seed)


def test_white_space_may_stand_before_a_thought() -> None:
    run = thinking_run(SpacedThinker(LETTERS))

    async def deepened() -> list[Sample]:
        whole = await run.sample(0)
        return [whole, await run.continue_thought(whole, 0, 11, kept=11)]

    whole, cut = asyncio.run(deepened())
    assert (whole.answer, whole.thinking, run.cost.thinking_tokens) == ("30", NATURAL, NATURAL)
    assert (cut.answer, cut.thinking, cut.forced) == ("10", 11, True)
    settings = replace(SETTINGS, stops=("aaa",))
    assert drawn(thinking_run(SpacedThinker(LETTERS), settings)).answer == "30"


@pytest.mark.parametrize("merges", [(), ((">", "Ċ"), (">Ċ", "Ċ")), (("Ċ", "<"), ("Ċ<", "/"))])
@pytest.mark.parametrize("prompt", ["U:?A:", "U:?A:<think>\n"])
@pytest.mark.parametrize("thinking", [None, 11, 50])
def test_named_marks_may_be_of_several_tokens_that_merge_with_their_neighbours(
    merges: tuple[tuple[str, str], ...], prompt: str, thinking: int | None
) -> None:
    engine = ScriptedThinker(LETTERS)
    engine.tokenizer = byte_tokenizer(END, merges=merges)
    run = thinking_run(engine, prompt=prompt, thought="<think>...</think>")
    sample = drawn(run, thinking)
    assert sample.answer is not None
    assert sample.ended
    assert sample.forced == (thinking == 11)
    # A newline before and after the letters counts where it is a token of its own.
    letters, depth = int(sample.answer), sample.thinking or 0
    assert letters == LETTERS if thinking != 11 else letters in (10, 11)
    assert letters <= depth <= letters + (0 if sample.forced and letters == 11 else 2)


def test_the_end_of_a_turn_within_a_thought_is_no_answer() -> None:
    for thinking in (None, 100):
        sample = drawn(thinking_run(ScriptedThinker(LETTERS, within=True)), thinking)
        assert (sample.answer, sample.content, sample.forced) == (None, None, False)


def test_a_cap_leaves_room_for_the_answer() -> None:
    run = thinking_run(ScriptedThinker(1000))
    sample = drawn(run, 10_000)
    assert sample.forced
    assert sample.answer is not None
    assert sample.tokens <= SETTINGS.sampling.max_tokens


def test_no_thought_reaches_a_cap_beyond_the_deepest() -> None:
    for cutoff in ("", "\n</think>\n\n#"):
        marks = thinking_models(ScriptedThinker(LETTERS), cutoff).marks
        assert marks is not None
        deepest = deepest_cap(200, marks)
        for cap in (deepest - 1, deepest, deepest + 1):
            sample = drawn(thinking_run(ScriptedThinker(300), cutoff=cutoff), cap)
            assert (sample.thinking, sample.forced) == (min(cap, deepest), True)


def test_the_answers_beginning_may_be_written_too() -> None:
    engine = ScriptedThinker(LETTERS)
    sample = drawn(thinking_run(engine, cutoff="</think>\nIt is "), 11)
    assert engine.requests[1][0].endswith("aaa</think>\nIt is ")
    assert sample.text.endswith("</think>\nIt is #10\n<end>")


@pytest.mark.parametrize(
    ("request_cap", "plan_cap", "answer"),
    [
        (11, None, "10"),
        (11, 21, "10"),
        (21, 11, "10"),
        (0, 21, "0"),
        (21, 0, "0"),
        (None, 0, "0"),
    ],
)
def test_a_request_caps_its_plan(
    request_cap: int | None, plan_cap: int | None, answer: str
) -> None:
    run = thinking_run(ScriptedThinker(LETTERS), replace(SETTINGS, thinking=request_cap))
    assert drawn(run, plan_cap).answer == answer


@pytest.mark.parametrize("plan_cap", [None, 21])
def test_pilots_that_reach_the_requests_cap_are_not_thought_on(plan_cap: int | None) -> None:
    engine = ScriptedThinker(LETTERS)
    run = thinking_run(engine, replace(SETTINGS, thinking=11))

    async def answered() -> list[Sample]:
        pilots = await run.samples(0, 2)
        return await best_of_n(run, Plan(strategy="best_of_n", n=2, thinking=plan_cap), pilots)

    assert [sample.answer for sample in asyncio.run(answered())] == ["10", "10"]
    assert len(engine.requests) == 4  # a thought and an answer each


def test_pilots_think_on_where_the_plan_is_deeper() -> None:
    run = thinking_run(ScriptedThinker(LETTERS))

    async def answered() -> list[Sample]:
        pilots = await run.samples(0, 2, thinking=11)
        return await best_of_n(run, Plan(strategy="best_of_n", n=3, thinking=21), pilots)

    samples = asyncio.run(answered())
    assert [(sample.answer, sample.thinking) for sample in samples] == [("20", 21)] * 3
    assert run.cost.generations == 3


def test_pilots_that_have_thought_enough_are_kept() -> None:
    run = thinking_run(ScriptedThinker(LETTERS))

    async def answered() -> list[Sample]:
        pilots = await run.samples(0, 2, thinking=11)
        return await best_of_n(run, Plan(strategy="best_of_n", n=2, thinking=5), pilots)

    assert [sample.answer for sample in asyncio.run(answered())] == ["10", "10"]


LOOP = "a" * 100


@pytest.mark.parametrize("thinking", [None, 150])
def test_a_thought_that_repeats_itself_is_ended(thinking: int | None) -> None:
    engine = LoopingThinker(f"<think>\n{LOOP}\n</think>\n\n#7{END}")
    sample = drawn(thinking_run(engine), thinking)
    assert sample.text == "<think>\n" + "a" * LoopingThinker.LOOP
    assert (sample.answer, sample.ended) == (None, False)
    assert engine.thoughts == [True]


@pytest.mark.parametrize("thought", ["<think>\nso\n</think>\n\n", ""])
def test_an_answer_may_repeat_itself(thought: str) -> None:
    engine = LoopingThinker(f"{thought}{LOOP}\n#7{END}")
    sample = drawn(thinking_run(engine))
    assert sample.text == engine.text
    assert (sample.answer, sample.ended) == ("7", True)
    assert engine.thoughts == [True, False]


@pytest.mark.parametrize(
    ("thinking", "stops", "thoughts"),
    [(150, (), [True, False]), (0, (), [False]), (None, ("x",), [False, True, False])],
)
def test_only_requests_that_sample_a_thought_may_be_ended(
    thinking: int | None, stops: tuple[str, ...], thoughts: list[bool]
) -> None:
    skipped = "\n\n</think>\n\n" if thinking == 0 else "\nso\n</think>"
    engine = LoopingThinker(f"<think>{skipped}{LOOP}\n#7{END}")
    sample = drawn(thinking_run(engine, replace(SETTINGS, stops=stops)), thinking)
    assert (sample.answer, engine.thoughts) == ("7", thoughts)


def test_a_model_without_thoughts_may_repeat_itself() -> None:
    engine = LoopingThinker(f"{LOOP}\n#7{END}")
    sample = drawn(thinking_run(engine, thought="none"))
    assert (sample.answer, engine.thoughts) == ("7", [False])


def test_a_beam_whose_thought_repeats_itself_is_not_extended_again() -> None:
    engine = LoopingThinker(f"<think>\n{LOOP}\n</think>\n\n#7{END}")
    beam = asyncio.run(thinking_run(engine).extend(Beam(), ("x", 0)))
    assert (beam.stopped, beam.ended) == (True, False)


class ChoosingThinker(ScriptedThinker):
    """Answers ``yes`` under a constraint."""

    async def complete(
        self, token_ids: Sequence[int], *, constraint: Constraint | None = None, **how: Any
    ) -> Completion:
        if constraint is None:
            return await super().complete(token_ids, **how)
        return Completion(tuple(self.tokenizer.encode("yes")), -1.0, ended=True)


@pytest.mark.parametrize("thinking", [None, 11, 0])
def test_what_a_constraint_holds_stands_alone_after_any_thought(thinking: int | None) -> None:
    """Also after one that is skipped: votes would take it for another answer."""
    form = structured_form("structured_outputs", {"choice": ["yes", "no"]})
    models = thinking_models(ChoosingThinker(LETTERS))
    models = replace(models, answers=answers_of(form, models.answers, models.thoughts))
    sample = drawn(PromptRun(models, replace(SETTINGS, form=form), "U:?A:", 0), thinking)
    assert (sample.answer, sample.content) == ("yes", "yes")
    assert sample.text.endswith("</think>yes")
