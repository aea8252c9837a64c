"""The testbed's task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.testbed.task import Problem, distinct_problems, split_of

OPERATION = st.one_of(
    st.tuples(st.sampled_from("+-"), st.integers(1, 99)), st.tuples(st.just("*"), st.integers(2, 9))
)


def test_a_chain_worked_by_hand() -> None:
    problem = Problem(347, (("+", 58), ("*", 7), ("-", 91)))
    assert problem.text == "347+58*7-91"
    assert problem.solution == "347+58=405\n405*7=835\n835-91=744\n#744"
    assert problem.answer == "744"


@given(st.integers(0, 999), st.lists(OPERATION, min_size=1, max_size=8))
def test_answers_lie_below_the_modulus(start: int, operations: list[tuple[str, int]]) -> None:
    problem = Problem(start, tuple(operations))
    value = start
    for op, operand in operations:
        value = {"+": value + operand, "-": value - operand, "*": value * operand}[op] % 1000
    assert problem.answer == str(value)
    assert len(problem.steps) == len(operations) + 1


@pytest.mark.slow
def test_splits_never_overlap_whatever_the_seed() -> None:
    drawn = {
        split: {p.text for seed in (0, 1) for p in distinct_problems(split, 100, seed)}
        for split in ("train", "calibration", "test")
    }
    assert not drawn["train"] & drawn["test"]
    assert not drawn["calibration"] & (drawn["train"] | drawn["test"])
    for split, texts in drawn.items():
        assert {split_of(text) for text in texts} == {split}


def test_chain_lengths_are_spread() -> None:
    lengths = [len(p.operations) for p in distinct_problems("test", 200, 0)]
    assert set(lengths) == set(range(1, 9))
