"""The testbed's language model and PRM in a simulation: solutions and scores drawn from a pool."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.simulator.solutions import END, STEP_END, UNIQUE
from benchmarks.testbed.paths import TEST_POOL
from benchmarks.throughput.workload import held_out_prompts

Tokens = tuple[int, ...]


class PoolWriter:
    """Continues a text as one of the pool's solutions that begin so, and scores it as the PRM did.

    The pool has 1,280 solutions of each prompt, drawn independently: a solution that begins with
    a text goes on as the language model would. The prompts are those of `benchmarks.throughput`, by
    their number.
    """

    def __init__(self) -> None:
        # Steps after a text, each with whether it is the last, and how many solutions have it.
        self._next: dict[Tokens, dict[tuple[Tokens, bool], int]] = {}
        self._cumulated: dict[Tokens, list[int]] = {}
        self._scores: dict[Tokens, float] = {}
        numbers = {prompt: number for number, (prompt, _) in enumerate(held_out_prompts())}
        table = pq.read_table(TEST_POOL, columns=["prompt", "steps", "step_scores", "places"])
        for row in table.filter(pc.is_in(table["prompt"], pa.array(list(numbers)))).to_pylist():
            text: Tokens = (UNIQUE + numbers[row["prompt"]],)
            last = len(row["steps"]) - 1
            for place, (step, score) in enumerate(
                zip(row["steps"], row["step_scores"], strict=True)
            ):
                ids = (*(UNIQUE + i for i in step[:-1]), END if place == last else STEP_END)
                after = self._next.setdefault(text, {})
                after[ids, place == last] = after.get((ids, place == last), 0) + len(row["places"])
                text += ids
                self._scores[text] = float(score)

    def write(
        self, token_ids: Sequence[int], seed: int, max_tokens: int, one_step: bool
    ) -> tuple[list[int], bool]:
        """See `benchmarks.simulator.solutions.Writer.write`."""
        rng, text = Random(seed), self._key(token_ids)
        written: list[int] = []
        while True:
            after = self._next[text]
            if text not in self._cumulated:
                self._cumulated[text] = list(accumulate(after.values()))
            cumulated = self._cumulated[text]
            place = bisect(cumulated, rng.randrange(cumulated[-1]))
            step, ended = list(after)[place]
            text += step
            written += step
            if ended or one_step:
                return written[:max_tokens], ended

    def score(self, token_ids: Sequence[int]) -> float:
        """See `benchmarks.simulator.solutions.Writer.score`."""
        return self._scores[self._key(token_ids)]

    @staticmethod
    def _key(token_ids: Sequence[int]) -> Tokens:
        """A text as the pool has it: of a prompt the number alone."""
        solution = next((i for i in range(1, len(token_ids)) if token_ids[i] != 2), len(token_ids))
        return (token_ids[0], *token_ids[solution:])
