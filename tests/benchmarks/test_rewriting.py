"""The rewriting task."""

import re

import pytest

from benchmarks.rewriting.paths import SETTINGS
from benchmarks.rewriting.task import (
    CHARACTERS,
    LONGEST,
    SHORTEST,
    Problem,
    apply,
    distinct_problems,
)
from benchmarks.testbed.task import split_of
from runtime.answers import answers_for


def places(operation: str, n: int) -> list[int]:
    """Where each letter of the result stood before, for an operation that only moves letters."""
    order = list(range(n))
    if operation == "R":
        return [n - 1 - i for i in order]
    if operation == "L":
        return [(i + 1) % n for i in order]
    if operation == "S":
        order[0], order[-1] = order[-1], order[0]
        return order
    if operation == "D":
        return [0, *order]
    if operation == "X":
        return order[1:]
    moved = int(operation[1:]) - 1
    return [moved, *(i for i in order if i != moved)]


def recomputed(value: str, operation: str) -> str:
    if operation[0] == "C":
        return value.translate(str.maketrans(operation[1], operation[2]))
    return "".join(value[i] for i in places(operation, len(value)))


def test_a_chain_worked_by_hand() -> None:
    problem = Problem("dacbfe", ("R", "M3", "Cab", "L", "S", "D", "X"))
    assert problem.text == "dacbfe.R.M3.Cab.L.S.D.X"
    assert problem.solution == (
        "R=efbcad\nM3=befcad\nCab=befcbd\nL=efcbdb\nS=bfcbde\nD=bbfcbde\nX=bfcbde\n#bfcbde"
    )
    assert problem.answer == "bfcbde"


def test_every_step_of_drawn_chains_recomputed() -> None:
    answers = answers_for(SETTINGS.answers)
    for problem in distinct_problems("calibration", 40, 0):
        value = problem.start
        *lines, last = problem.solution.split("\n")
        for operation, line in zip(problem.operations, lines, strict=True):
            value = recomputed(value, operation)
            assert line == f"{operation}={value}"
            assert SHORTEST <= len(value) <= LONGEST
        assert last == f"#{value}"
        assert answers.extract(problem.solution) == problem.answer == value
        assert set(problem.text + problem.solution) <= set(CHARACTERS)
        assert re.fullmatch("[a-f]{5,8}", problem.start)


def test_an_operation_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="'Q' is none of"):
        apply("abc", "Q")


def test_splits_never_overlap_whatever_the_seed() -> None:
    drawn = {
        split: {p.text for seed in (0, 1) for p in distinct_problems(split, 40, seed)}
        for split in ("train", "calibration", "test")
    }
    assert not drawn["train"] & drawn["test"]
    assert not drawn["calibration"] & (drawn["train"] | drawn["test"])
    for split, texts in drawn.items():
        assert {split_of(text) for text in texts} == {split}


def test_chain_lengths_are_spread() -> None:
    lengths = [len(p.operations) for p in distinct_problems("test", 60, 0)]
    assert set(lengths) == set(range(1, 9))
