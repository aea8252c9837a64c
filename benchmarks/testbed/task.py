"""The testbed's task: arithmetic chains, evaluated left to right modulo 1000.

A prompt is a chain such as ``347+58*7-91``. Its solution has one operation a line (one line is
one solution step for the PRM) and then the answer::

    347+58=405
    405*7=835
    835-91=744
    #744

Every prompt belongs to exactly one of the train, calibration and test sets: a SHA-256 of its text
decides, so the sets never overlap whatever seed drew the prompt.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

MODULUS = 1000
MAX_OPERATIONS = 8
ANSWER_MARK = "#"
CHARACTERS = "0123456789+-*=#\n"

Split = Literal["train", "calibration", "test"]


class WorkedProblem(ABC):
    """A problem of any task: a prompt, and its solution step by step."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The prompt."""

    @property
    @abstractmethod
    def steps(self) -> list[str]:
        """The correct solution's lines, without their newlines; the last one is the answer."""

    @property
    def solution(self) -> str:
        return "\n".join(self.steps)

    @property
    def answer(self) -> str:
        return self.steps[-1].removeprefix(ANSWER_MARK)

    @property
    def split(self) -> Split:
        return split_of(self.text)


P = TypeVar("P", bound=WorkedProblem)


@dataclass(frozen=True)
class Problem(WorkedProblem):
    """One chain: the start value, then (operator, operand) pairs."""

    start: int
    operations: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        return str(self.start) + "".join(f"{op}{operand}" for op, operand in self.operations)

    @property
    def steps(self) -> list[str]:
        value, lines = self.start, []
        for op, operand in self.operations:
            result = apply(value, op, operand)
            lines.append(f"{value}{op}{operand}={result}")
            value = result
        return [*lines, f"{ANSWER_MARK}{value}"]


def apply(value: int, op: str, operand: int) -> int:
    """One operation modulo 1000."""
    results = {"+": value + operand, "-": value - operand, "*": value * operand}
    return results[op] % MODULUS


def split_of(text: str) -> Split:
    """Which set the prompt belongs to: 90% train, 5% calibration, 5% test, by a stable hash."""
    slot = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100
    if slot < 90:
        return "train"
    return "calibration" if slot < 95 else "test"


def draw(rng: np.random.Generator, operations: int) -> Problem:
    """Draw a chain of the given length, from any split.

    Sums and differences take operands of one or two digits, equally often; products take a
    one-digit operand. Difficulty then varies within a chain length as well as with it.
    """
    pairs = []
    for op in rng.choice(["+", "-", "*"], size=operations):
        low, high = (2, 10) if op == "*" else [(1, 10), (10, 100)][rng.integers(2)]
        pairs.append((str(op), int(rng.integers(low, high))))
    return Problem(int(rng.integers(MODULUS)), tuple(pairs))


def problems(split: Split, seed: int) -> Iterator[Problem]:
    """Endless problems of one split, chain lengths 1 to 8 equally likely. May repeat a prompt."""
    return drawn_by(draw, split, seed)


def drawn_by(draw: Callable[[np.random.Generator, int], P], split: Split, seed: int) -> Iterator[P]:
    """Endless problems of one split, their chain lengths as `problems` has them.

    Args:
        draw: draws a problem of a chain length, from any split.
        split: which of them to keep.
        seed: seed of the drawing.
    """
    rng = np.random.default_rng(seed)
    while True:
        problem = draw(rng, int(rng.integers(1, MAX_OPERATIONS + 1)))
        if problem.split == split:
            yield problem


def distinct_problems(split: Split, count: int, seed: int) -> list[Problem]:
    """The first `count` distinct problems of one split under a seed."""
    return distinct(problems(split, seed), count)


def distinct(source: Iterator[P], count: int) -> list[P]:
    """The first `count` problems of distinct prompts."""
    found: dict[str, P] = {}
    for problem in source:
        found.setdefault(problem.text, problem)
        if len(found) == count:
            break
    return list(found.values())
