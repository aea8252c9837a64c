"""The tree engine draws from the same distribution as the transformers engine, exactly counted."""

import asyncio
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from benchmarks.allocation.sampling import draw
from benchmarks.testbed.paths import BASE, REQUEST_SETTINGS, SETTINGS
from benchmarks.testbed.task import Problem, distinct_problems
from benchmarks.testbed.tree_engine import TreeEngine
from calibration.sampling.collect import PromptRecord
from runtime.engines.base import Completion, encode_prompt
from runtime.models import Models
from runtime.prompt_run import PromptRun
from tests.support.artifacts import bent_models

SAMPLES = 400
# Of two to four operations: neither all right nor all wrong.
PROBLEMS = [p for p in distinct_problems("test", 60, seed=5) if len(p.operations) in (2, 3, 4)][:6]


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[list[Completion], np.ndarray]]:
    """All solutions of every problem: the distinct ones, and the draws' places among them."""
    return everything(seed=8)


def everything(
    seed: int, problems: list[Problem] = PROBLEMS
) -> dict[str, tuple[list[Completion], np.ndarray]]:
    engine = TreeEngine(BASE, SAMPLES, seed)

    async def one(problem: Problem) -> tuple[list[Completion], np.ndarray]:
        ids = encode_prompt(engine, problem.text)
        places = await engine.places(ids, 160)
        distinct = [
            await engine.complete(ids, settings=SETTINGS.sampling, max_tokens=160, seed=0)
            for _ in range(int(places.max()) + 1)
        ]
        return distinct, places

    async def all_of_them() -> list[tuple[list[Completion], np.ndarray]]:
        return await asyncio.gather(*map(one, problems))

    found = asyncio.run(all_of_them())
    engine.close()
    return dict(zip((problem.text for problem in problems), found, strict=True))


@pytest.mark.slow
def test_every_solution_is_counted_and_the_distinct_are(
    drawn: dict[str, tuple[list[Completion], np.ndarray]],
) -> None:
    for distinct, places in drawn.values():
        assert len(places) == SAMPLES
        counts = np.bincount(places, minlength=len(distinct))
        assert len(counts) == len(distinct)
        assert counts.min() >= 1
        assert len({completion.token_ids for completion in distinct}) == len(distinct) < SAMPLES
        # Shuffled, any part of the draws is like any: the commonest is not all in front.
        common = places == counts.argmax()
        if counts.max() < SAMPLES * 0.9:
            assert common[: SAMPLES // 2].any()
            assert common[SAMPLES // 2 :].any()


@pytest.fixture(scope="module")
def sampled(run: Any, transformers_models: Models) -> dict[str, list[tuple[bool, float, int]]]:
    """Right or not, log-probability and tokens of solutions by the transformers engine."""

    async def one(problem: Problem) -> list[tuple[bool, float, int]]:
        prompt_run = PromptRun(transformers_models, REQUEST_SETTINGS, problem.text, 17)
        solutions = await prompt_run.samples(0, SAMPLES // 2)
        return [(s.answer == problem.answer, s.logprob, s.tokens) for s in solutions]

    return {problem.text: run(one(problem)) for problem in PROBLEMS}


@pytest.mark.slow
def test_solutions_are_as_often_right_as_likely_and_as_long_as_independent_ones(
    drawn: dict[str, tuple[list[Completion], np.ndarray]],
    sampled: dict[str, list[tuple[bool, float, int]]],
    tokenizer: Any,
) -> None:
    for problem in PROBLEMS:
        distinct, places = drawn[problem.text]
        texts = [tokenizer.decode(c.token_ids, skip_special_tokens=True) for c in distinct]
        each = np.array(
            [
                (text.splitlines()[-1] == f"#{problem.answer}", c.logprob, len(c.token_ids))
                for text, c in zip(texts, distinct, strict=True)
            ]
        )
        ours, theirs = each[places], np.array(sampled[problem.text], dtype=float)
        error = np.sqrt(ours.var(axis=0) / len(ours) + theirs.var(axis=0) / len(theirs))
        # Four standard errors, and what little a handful of rare solutions may differ by.
        assert np.all(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= 4 * error + 0.02)
        assert ours[:, 0].mean() > 0


@pytest.mark.slow
def test_a_log_probability_is_that_of_the_transformers_engine(
    drawn: dict[str, tuple[list[Completion], np.ndarray]], run: Any, transformers_models: Models
) -> None:
    async def solutions() -> dict[tuple[int, ...], float]:
        made = await PromptRun(transformers_models, REQUEST_SETTINGS, PROBLEMS[0].text, 17).samples(
            0, 60
        )
        return {sample.token_ids: sample.logprob for sample in made}

    theirs = run(solutions())
    ours = {c.token_ids: c.logprob for c in drawn[PROBLEMS[0].text][0]}
    both = ours.keys() & theirs.keys()
    assert len(both) >= 1
    for ids in both:
        assert ours[ids] == pytest.approx(theirs[ids], abs=1e-3)


def test_frequencies_are_the_models_own_probabilities(
    drawn: dict[str, tuple[list[Completion], np.ndarray]],
) -> None:
    # Of a solution of probability p there are SAMPLES x p, but for the multinomial's noise.
    for distinct, places in drawn.values():
        chances = np.exp([completion.logprob for completion in distinct])
        counts = np.bincount(places, minlength=len(distinct))
        likely = chances > 0.05
        noise = np.sqrt(SAMPLES * chances * (1 - chances))
        assert np.all(np.abs(counts - SAMPLES * chances)[likely] < 4.5 * noise[likely] + 1)


def test_a_seed_and_a_prompt_determine_the_draws_whatever_runs_beside_them(
    drawn: dict[str, tuple[list[Completion], np.ndarray]], tokenizer: Any
) -> None:
    alone = everything(8, PROBLEMS[:2])
    for text, (distinct, places) in alone.items():
        together, there = drawn[text]
        assert [c.token_ids for c in distinct] == [c.token_ids for c in together]
        np.testing.assert_array_equal(places, there)
    other = everything(9, PROBLEMS[:1])[PROBLEMS[0].text][1]
    assert not np.array_equal(other, drawn[PROBLEMS[0].text][1])


def test_a_solution_ends_where_there_is_no_more_room() -> None:
    engine = TreeEngine(BASE, 20, seed=1)
    ids = encode_prompt(engine, PROBLEMS[0].text)

    async def short() -> Completion:
        return await engine.complete(ids, settings=SETTINGS.sampling, max_tokens=4, seed=0)

    completion = asyncio.run(short())
    engine.close()
    assert len(completion.token_ids) == 4
    assert not completion.ended


@pytest.mark.parametrize(
    ("settings", "stop"),
    [({}, ("\n",)), ({"temperature": 0.5}, ()), ({"top_p": 0.9}, ()), ({"top_k": 3}, ())],
)
def test_only_whole_solutions_at_temperature_1(
    settings: dict[str, float], stop: tuple[str, ...]
) -> None:
    engine = TreeEngine(BASE, 4, seed=1)
    chosen = SETTINGS.sampling.model_copy(update=settings)
    with pytest.raises(InputError, match="whole solutions at temperature 1"):
        asyncio.run(engine.complete((1, 2), settings=chosen, max_tokens=9, seed=0, stop=stop))
    engine.close()


def test_more_solutions_than_are_distinct_are_refused() -> None:
    engine = TreeEngine(BASE, 1, seed=1)
    ids = encode_prompt(engine, PROBLEMS[0].text)

    async def two() -> None:
        for _ in range(2):
            await engine.complete(ids, settings=SETTINGS.sampling, max_tokens=160, seed=0)

    with pytest.raises(InputError, match="samples: 2: 1 are distinct"):
        asyncio.run(two())
    engine.close()


def test_a_pools_records_hold_every_draw(
    drawn: dict[str, tuple[list[Completion], np.ndarray]], tokenizer: Any
) -> None:
    engine = TreeEngine(BASE, SAMPLES, seed=8)
    models = bent_models(tokenizer)  # its verifier counts ones
    pairs = [(problem.text, problem.answer) for problem in PROBLEMS[:2]]

    async def records() -> list[PromptRecord]:
        return await draw(models, REQUEST_SETTINGS, engine, pairs)

    for record in asyncio.run(records()):
        distinct, places = drawn[record.prompt]
        expected = [distinct[place].token_ids for place in places]
        assert [sample.token_ids for sample in record.independent.samples] == expected
        assert record.independent.sampled_tokens == sum(map(len, expected))
        graded = [sample.answer == record.gold for sample in record.independent.samples]
        assert list(record.independent.correct) == graded
    engine.close()
