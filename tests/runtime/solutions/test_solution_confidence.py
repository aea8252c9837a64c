"""Confidence that is read as solutions are written, and solutions that it ends."""

import asyncio
from contextlib import ExitStack
from math import exp, isnan
from pathlib import Path

import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from benchmarks.testbed.paths import SETTINGS as TESTBED
from predictors.confidence import ConfidenceSettings
from predictors.sample import Sample
from predictors.scoring import Scoring
from runtime.models import load_models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.solutions.beam import Beam
from runtime.strategies.best_of_n import best_of_n
from tests.support.thinking import SETTINGS, ScriptedThinker, UnsureThinker, thinking_run

# Of 20 letters the model is unsure of four; the mean of four letters is then 1.
LETTERS = "aaaaaaaaxxxxaaaaaaaa"
READ = ConfidenceSettings(window=4)
ENDING = ConfidenceSettings(window=4, threshold=5.0)
OPENING = 2  # the mark and a newline
WEIGHED = Scoring(intercept=-2.0, confidence=0.5)


def run_of(
    confidence: ConfidenceSettings | None, scoring: Scoring = WEIGHED, letters: str = LETTERS
) -> PromptRun:
    return thinking_run(UnsureThinker(letters), confidence=confidence, scoring=scoring)


def drawn(run: PromptRun, thinking: int | None = None) -> Sample:
    return asyncio.run(run.sample(0, thinking))


def test_the_lowest_window_is_the_samples_confidence_and_weighs() -> None:
    sample = drawn(run_of(READ))
    assert (sample.confidence, sample.confidence_at) == (1.0, OPENING + 12)
    assert (sample.answer, sample.ended) == ("20", True)
    assert sample.score == pytest.approx(1 / (1 + exp(2.0 - 0.5 * 1.0)))


def test_without_it_nothing_is_read() -> None:
    sample = drawn(run_of(None, Scoring()))
    assert isnan(sample.confidence)
    assert (sample.confidence_at, sample.window) == (None, None)


@pytest.mark.parametrize("thinking", [None, 100])
def test_a_lost_thought_is_ended_and_is_neither_answer_nor_vote(thinking: int | None) -> None:
    run = run_of(ENDING)
    sample = drawn(run, thinking)
    # Of three unsure letters and a sure one the mean is 3.25, of two and two 5.5.
    assert sample.text == "<think>\n" + LETTERS[:11]
    assert (sample.answer, sample.content, sample.ended) == (None, None, False)
    assert sample.confidence == 3.25
    sampled = 11 + (0 if thinking else OPENING)
    assert run.cost.sampled_tokens == sampled


def test_a_lost_thought_does_not_vote_among_others() -> None:
    run = run_of(ENDING)
    plan = Plan(strategy="best_of_n", n=3, selection="majority")
    samples = asyncio.run(best_of_n(run, plan, ()))
    assert [sample.answer for sample in samples] == [None] * 3
    assert run.cost.sampled_tokens == 3 * (OPENING + 11)


def test_a_thought_at_its_cap_and_its_answer_share_the_window() -> None:
    # The last letter before the cap is the first that it is unsure of; the end mark is appended.
    sample = drawn(run_of(READ, letters="aaaaaaaaxxxx"), 1 + 9)
    assert sample.forced
    assert (sample.confidence, sample.confidence_at) == ((3 * 10 + 1) / 4, 9)


def test_a_thought_goes_on_with_its_own_window() -> None:
    run = run_of(READ, letters="aaaaaaaaxxxx")

    async def longer() -> Sample:
        return await run.continue_thought(await run.sample(0, 1 + 10), 0, 1 + 11)

    # Two unsure letters are kept, a third is sampled: the window holds one before them.
    assert asyncio.run(longer()).confidence == pytest.approx(5.5)


def test_a_probe_keeps_no_confidence_of_what_it_drops() -> None:
    run = run_of(READ)

    async def probe() -> Sample:
        return await run.continue_thought(await run.sample(0), 0, 6, kept=6)

    assert asyncio.run(probe()).confidence == 10.0


def test_lost_thoughts_are_not_sampled_further() -> None:
    run = run_of(ENDING)

    async def both() -> tuple[Sample, Sample]:
        lost = await run.sample(0)
        before = run.cost.sampled_tokens
        again = await run.continue_thought(lost, 0, None)
        assert run.cost.sampled_tokens == before
        assert run.cost.aborted == 1
        return lost, again

    lost, again = asyncio.run(both())
    assert (again.token_ids, again.answer) == (lost.token_ids, None)


def test_searches_read_it_over_all_steps_and_end_nothing() -> None:
    settings = RequestSettings(SETTINGS.sampling)
    run = thinking_run(UnsureThinker(LETTERS), settings, confidence=ENDING, scoring=WEIGHED)

    async def two_steps() -> list[Beam]:
        first = await run.extend(Beam(), ("beam", 0), score=False)
        return [first, await run.extend(first, ("beam", 1), score=False)]

    first, second = asyncio.run(two_steps())
    assert [first.confidence, second.confidence] == [1.0, 1.0]
    assert len(second.window.values) > len(first.window.values)
    assert second.steps[1]
    assert not second.stopped


def test_a_search_whose_score_does_not_weigh_it_does_not_read_it() -> None:
    run = run_of(ENDING, Scoring())
    assert asyncio.run(run.extend(Beam(), ("beam", 0), score=False)).window is None


def test_a_vote_reads_it_only_to_end_solutions() -> None:
    assert asyncio.run(run_of(READ).sample_unscored(0)).window is None
    assert asyncio.run(run_of(ENDING).sample_unscored(0)).answer is None


def test_an_engine_that_cannot_read_it_is_refused() -> None:
    settings = TESTBED.model_copy(update={"confidence": READ})
    with ExitStack() as stack, pytest.raises(InputError, match="choose vllm or transformers"):
        load_models(stack, settings, Path(), ScriptedThinker(3))
