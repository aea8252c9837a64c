"""The thinking task: the testbed's chains, worked again and again until two results agree.

A thought is a number of tries, each of them the chain and a
solution as the testbed has it. It ends after the
first try whose result an earlier try has too; the answer follows::

    <think>
    347+58*7-91
    347+58=405
    405*7=845
    845-91=754
    #754
    347+58*7-91
    347+58=405
    405*7=835
    835-91=744
    #744
    347+58*7-91
    347+58=405
    405*7=835
    835-91=744
    #744
    </think>

    #744

The chain is written again before each try, so that its numbers are always as near as in the first.
Without a thought (``enable_thinking=False``) the answer is one try. The splits are the testbed's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.testbed.task import ANSWER_MARK, Problem, Split, draw

FEWEST_OPERATIONS, MOST_OPERATIONS = 2, 10
THINK, END_THINK = "<think>", "</think>"
# What Qwen3's chat template writes where the model must not think.
NO_THOUGHT = f"{THINK}\n\n{END_THINK}\n\n"
# Between the end of a thought and the answer.
BEFORE_ANSWER = "\n\n"


def draw_fewer_products(rng: np.random.Generator, operations: int) -> Problem:
    """Draw a chain as the testbed does, with products in about a fifth of the operations.

    A small model errs at a product in the same way each time, and a second try then says nothing.
    """
    while True:
        problem = draw(rng, operations)
        if rng.random() < 0.5 ** sum(op == "*" for op, _ in problem.operations):
            return problem


def problems(split: Split, seed: int) -> Iterator[Problem]:
    """Endless problems of one split, all chain lengths equally likely. May repeat a prompt."""
    rng = np.random.default_rng(seed)
    while True:
        length = int(rng.integers(FEWEST_OPERATIONS, MOST_OPERATIONS + 1))
        problem = draw_fewer_products(rng, length)
        if problem.split == split:
            yield problem


def result_of(attempt: str) -> str | None:
    """The result of a try; None where its last line has none."""
    mark, result = attempt.rsplit("\n", 1)[-1][:1], attempt.rsplit("\n", 1)[-1][1:]
    return result if mark == ANSWER_MARK and result else None


@dataclass(frozen=True)
class Thought:
    """Tries in their order.

    Attributes:
        tries: all with a result.
        agreed: whether the last try's result is an earlier one's too: the thought is complete.
    """

    tries: tuple[str, ...]
    agreed: bool


def think(tries: Sequence[str]) -> Thought:
    """The thought that these tries make: it ends with the first that agrees with an earlier one.

    Args:
        tries: tries of one problem, all with a result; those left over are not used.
    """
    results: set[str | None] = set()
    for i, attempt in enumerate(tries):
        if result_of(attempt) in results:
            return Thought(tuple(tries[: i + 1]), agreed=True)
        results.add(result_of(attempt))
    return Thought(tuple(tries), agreed=False)


def best_answer(thought: str) -> str | None:
    """The answer of a thought that may have been cut off anywhere.

    Args:
        thought: the text from the thought's beginning on.

    Returns:
        The last complete try's result; None where no try is complete. If two tries agree it is
        theirs, for the thought ends there; if none do, all are equally good. A result is complete
        once the newline after it stands.
    """
    lines = thought.split("\n")[:-1]
    results = [result for line in lines if (result := result_of(line))]
    return results[-1] if results else None
