"""REBASE and DORA: how continuations are shared out, by hand, and a search with each."""

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest

from allocator.plan import parse_plan
from runtime.solutions.beam import Beam
from runtime.strategies import STRATEGIES
from runtime.strategies.dora import SHARPNESS, by_direction, distinctness
from runtime.strategies.rebase import TEMPERATURE, by_weight, shared
from tests.support.fakes import STEPS, CoinEngine, coin_run


def beams(*last: tuple[int, ...]) -> list[Beam]:
    """Beams of two steps, of which these are the last."""
    return [Beam(steps=((number,), step)) for number, step in enumerate(last)]


def counts(parents: list[Beam], living: list[Beam]) -> list[int]:
    """How many continuations each has. Those of one beam stand together."""
    taken = Counter(beam.steps[0] for beam in parents)
    order = list(dict.fromkeys(beam.steps[0] for beam in parents))
    assert [beam.steps[0] for beam in parents] == [
        step for step in order for _ in range(taken[step])
    ]
    return [taken[beam.steps[0]] for beam in living]


def test_continuations_are_in_proportion_to_the_softmax_of_scores() -> None:
    living = beams((1,), (2,), (3,))
    scores = [0.9, 0.9 - TEMPERATURE * np.log(2), 0.9 - TEMPERATURE * np.log(4)]
    ranked = list(zip(living, scores, strict=True))
    assert counts(by_weight(ranked, 14), living) == [8, 4, 2]
    # Shares of 4.0, 2.0 and 1.0 of seven; of eight, 4.57, 2.29 and 1.14: the first has the rest.
    assert counts(by_weight(ranked, 7), living) == [4, 2, 1]
    assert counts(by_weight(ranked, 8), living) == [5, 2, 1]


def test_a_share_below_every_remainder_gets_nothing() -> None:
    living = beams((1,), (2,), (3,))
    assert counts(shared(living, np.array([0.6, 0.39, 0.01]), 2), living) == [1, 1, 0]


def test_beams_that_go_the_same_way_share_one_beams_weight() -> None:
    living = beams((7, 8), (7, 8), (7, 8), (1, 2))
    assert distinctness(living) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    ranked = [(beam, 0.5) for beam in living]
    assert counts(by_direction(ranked, 12), living) == [2, 2, 2, 6]
    assert counts(by_weight(ranked, 12), living) == [3, 3, 3, 3]


class CountedToken(int):
    """A token that counts how often any is looked up."""

    lookups = 0

    def __hash__(self) -> int:
        CountedToken.lookups += 1
        return super().__hash__()


def test_each_token_of_many_beams_is_looked_up_at_most_once() -> None:
    size = 40
    rng = np.random.default_rng(0)
    living = beams(
        *(tuple(map(CountedToken, rng.integers(30, size=size).tolist())) for _ in range(size))
    )
    found = distinctness(living)
    assert CountedToken.lookups <= size**2
    vectors = np.array([np.bincount(beam.steps[-1], minlength=30) for beam in living])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = [[sum(one * other) for other in vectors] for one in vectors]
    expected = 1 / np.exp((np.array(alike) - 1) / SHARPNESS).sum(axis=1)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("strategy", ["rebase", "dora"])
def test_a_search_has_as_many_beams_as_planned_and_follows_the_verifier(
    strategy: str, tokenizer: Any
) -> None:
    run, plan = coin_run(tokenizer), parse_plan(f"{strategy}:32")
    samples = asyncio.run(STRATEGIES[plan.strategy](run, plan, ()))
    assert len(samples) == run.cost.generations == 32
    assert isinstance(run.models.engine, CoinEngine)
    assert len(run.models.engine.requests) == 32 * (STEPS + 1)
    answers = Counter(sample.answer for sample in samples)
    # Without a verifier one in eight is 3.
    assert answers["3"] > 8
