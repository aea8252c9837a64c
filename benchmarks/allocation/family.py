"""The pools of a task family, and how they are replayed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.flops import ModelSizes
from allocator.plan import Plan
from benchmarks.allocation.pool import read_pool
from benchmarks.testbed.calibrate import OPTIONS
from benchmarks.testbed.paths import ARTIFACT
from calibration.fitting.fit import plans_with
from calibration.replay.replay import Replay
from calibration.sampling.collect import PromptRecord
from predictors.oracle import oracle_pass_at_1
from runtime.artifact import Artifact

SEEDS = 5  # of the test prompts


@dataclass(frozen=True)
class Family:
    """The location and the number of a family's samples.

    Attributes:
        name: the task.
        folder: folder of the pools.
        window: independent solutions of each prompt and seed; the largest budget.
        calibration_prompts: number of prompts that tables are fitted on.
        test_prompts: number of prompts that tables are tested on.
        test_seed: seed that selects these prompts from the test split.
    """

    name: str
    folder: Path
    window: int
    calibration_prompts: int
    test_prompts: int
    test_seed: int

    @property
    def budgets(self) -> list[int]:
        """Powers of two up to the window, the numbers halfway and a quarter of the way: there
        pilots fit beside a search.
        """
        powers = [2**i for i in range(self.window.bit_length())]
        between = {part * power // 4 for power in powers for part in (4, 5, 6)}
        return sorted(budget for budget in between if budget <= self.window)

    def calibration(
        self, states: NDArray[np.float32] | None, sizes: ModelSizes | None = None
    ) -> Replay:
        """The calibration prompts: half of their solutions replayed, half measure difficulty."""
        return Replay(self._records("calibration"), self.window, states=states, sizes=sizes)

    def test(
        self, states: NDArray[np.float32] | None, sizes: ModelSizes | None = None
    ) -> "SeededReplay":
        """The test prompts, one replicate per seed."""
        return SeededReplay(self._records("test"), self.window, states, sizes)

    def _records(self, split: str) -> list[PromptRecord]:
        searches = {r.prompt: r for r in read_pool(self.folder / f"{split}-searches.parquet")}
        return [
            replace(r, repeats=searches[r.prompt].repeats)
            for r in read_pool(self.folder / f"{split}.parquet")
        ]


def grid(budget: int, pilots: int) -> list[Plan]:
    """The plans considered: those of the testbed's artifact."""
    return plans_with(_searches(), OPTIONS.grid(budget, pilots))


@lru_cache
def _searches() -> frozenset[Plan]:
    """The searches that calibration ran on every prompt."""
    curves = Artifact.load(ARTIFACT).curves.curves
    return frozenset(plan for of_pilots in curves for plan in of_pilots.plans)


class SeededReplay(Replay):
    """Test records in which every replicate is another seed: no sample is replayed twice.

    Args:
        records: the independent solutions of all seeds, seed by seed; as many runs of searches.
        each: number of independent solutions per seed.
        states: the language model's state after each prompt.
        sizes: of the models, as of `Replay`.
    """

    def __init__(
        self,
        records: Sequence[PromptRecord],
        each: int,
        states: NDArray[np.float32] | None = None,
        sizes: ModelSizes | None = None,
    ) -> None:
        seeds = len(records[0].independent.samples) // each
        super().__init__(records, each * seeds, seeds, states, sizes=sizes)
        self.each = each

    @property
    def pass_at_1_by_prompt(self) -> NDArray[np.float64]:
        """pass@1 from all solutions of all seeds, shape (prompts,)."""
        return oracle_pass_at_1([record.independent.correct for record in self.records])

    @property
    def fresh_pass_at_1(self) -> NDArray[np.float64]:
        """pass@1 for each seed from the next seed's solutions, which are independent of it; shape
        (prompts, seeds).
        """
        correct = np.array([record.independent.correct for record in self.records], dtype=float)
        by_seed = correct.reshape(len(correct), self.replicates, self.each).mean(axis=2)
        return np.roll(by_seed, -1, axis=1)
