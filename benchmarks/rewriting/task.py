"""The rewriting task: a string of letters and a chain of operations on it.

A prompt is a string and its operations, such as ``dacbfe.R.M3.Cab``. Its solution has one operation
a line, with the string that it leaves (one line is one solution step for the PRM), and then the
answer::

    R=efbcad
    M3=befcad
    Cab=befcbd
    #befcbd

The operations: ``R`` reverses, ``L`` rotates left by one, ``S`` swaps the first letter with the
last, ``D`` doubles the first letter, ``X`` deletes it, ``Mk`` moves the k-th letter to the front,
``Cxy`` changes every x to y.

Prompts belong to the train, calibration and test sets by the testbed's rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.testbed.task import ANSWER_MARK, Split, WorkedProblem, distinct, drawn_by

LETTERS = "abcdef"
OPERATIONS = "RLSDXMC"
CHARACTERS = LETTERS + OPERATIONS + "0123456789.=#\n"
SHORTEST, LONGEST = 3, 9  # what operations may leave; prompts begin with 5 to 8 letters


@dataclass(frozen=True)
class Problem(WorkedProblem):
    """One chain: the string to start with, then operations as they are written."""

    start: str
    operations: tuple[str, ...]

    @property
    def text(self) -> str:
        return ".".join([self.start, *self.operations])

    @property
    def steps(self) -> list[str]:
        value, lines = self.start, []
        for operation in self.operations:
            value = apply(value, operation)
            lines.append(f"{operation}={value}")
        return [*lines, f"{ANSWER_MARK}{value}"]


def apply(value: str, operation: str) -> str:
    """One operation on a string of at least two letters."""
    match tuple(operation):
        case ["R"]:
            return value[::-1]
        case ["L"]:
            return value[1:] + value[0]
        case ["S"]:
            return value[-1] + value[1:-1] + value[0]
        case ["D"]:
            return value[0] + value
        case ["X"]:
            return value[1:]
        case ["M", k]:
            i = int(k) - 1
            return value[i] + value[:i] + value[i + 1 :]
        case ["C", x, y]:
            return value.replace(x, y)
        case _:
            raise ValueError(f"operation: {operation!r} is none of {', '.join(OPERATIONS)}")


def draw(rng: np.random.Generator, operations: int) -> Problem:
    """Draw a chain of the given length, from any split.

    ``Cxy`` changes a letter that is there, and no operation leaves a string too short or too long.
    """

    def one_of(letters: str) -> str:
        return letters[rng.integers(len(letters))]

    start = value = "".join(one_of(LETTERS) for _ in range(rng.integers(5, 9)))
    chain: list[str] = []
    while len(chain) < operations:
        operation = one_of(OPERATIONS)
        if operation == "M":
            operation += str(rng.integers(2, len(value) + 1))
        elif operation == "C":
            old = one_of(value)
            operation += old + one_of(LETTERS.replace(old, ""))
        left = apply(value, operation)
        if SHORTEST <= len(left) <= LONGEST:
            chain.append(operation)
            value = left
    return Problem(start, tuple(chain))


def problems(split: Split, seed: int) -> Iterator[Problem]:
    """Endless problems of one split, chain lengths 1 to 8 equally likely. May repeat a prompt."""
    return drawn_by(draw, split, seed)


def distinct_problems(split: Split, count: int, seed: int) -> list[Problem]:
    """The first `count` distinct problems of one split under a seed."""
    return distinct(problems(split, seed), count)
