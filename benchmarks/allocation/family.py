"""The pools of a task family, and how they are replayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.plan import Plan, parse_plan, plan_grid
from benchmarks.allocation.pool import read_pool
from calibration.collect import PromptRecord, Run
from calibration.evaluate import REPLICATES, Replay
from predictors.oracle import oracle_pass_at_1

# Larger searches are not sampled: 16 beams and more were not worth more than smaller ones.
MOST_BEAMS = 8
CALIBRATION_SEEDS = (6, 7, 8, 9, 10)
SEEDS = (100, 101, 102, 103, 104)

# Of each prompt, what was searched with one seed after the other.
Searches = dict[str, list[dict[Plan, Run]]]


@dataclass(frozen=True)
class Family:
    """Where a family's samples lie, and how many there are.

    Attributes:
        name: the task.
        folder: the pools'.
        window: independent solutions of each prompt and seed; the largest budget.
        calibration_prompts: how many prompts tables are fitted on.
        test_prompts: how many they are tested on.
        test_seed: which of the test split's prompts these are.
    """

    name: str
    folder: Path
    window: int
    calibration_prompts: int
    test_prompts: int
    test_seed: int

    @property
    def budgets(self) -> list[int]:
        """Powers of two up to the window."""
        return [2**i for i in range(self.window.bit_length())]

    def calibration(self, states: NDArray[np.float32] | None) -> "SearchedReplay":
        """The calibration prompts: half of their solutions replayed, half measure difficulty."""
        records = read_pool(self.folder / "calibration.parquet")
        searches = self._searches("calibration", CALIBRATION_SEEDS)
        return SearchedReplay(records, self.window, searches, states=states)

    def test(self, states: NDArray[np.float32] | None) -> "SeededReplay":
        """The test prompts, a replicate a seed."""
        records = read_pool(self.folder / "test.parquet")
        return SeededReplay(records, self.window, self._searches("test", SEEDS), states)

    def _searches(self, split: str, seeds: Sequence[int]) -> Searches:
        """Searches of each prompt, once for each seed that it was searched with."""
        found: Searches = {}
        for seed in seeds:
            for record in read_pool(self.folder / f"{split}-searches-{seed}.parquet"):
                found.setdefault(record.prompt, []).append(record.searches)
        return found


def grid(budget: int, pilots: int) -> list[Plan]:
    """The plans considered: those of the library, but for large searches."""
    return [
        plan
        for plan in plan_grid(budget, pilots)
        if plan.strategy == "best_of_n" or plan.n <= MOST_BEAMS
    ]


# Every search that the grid asks for.
SEARCHES = [parse_plan(f"beam_search:{setting}") for setting in ("2:2", "4:2", "4:4", "8:2", "8:4")]


class SearchedReplay(Replay):
    """Records whose searches were run several times, so that replicates have others, too.

    Args:
        records: independent solutions.
        window: see `Replay`.
        searches: of each prompt, once a seed.
        replicates: see `Replay`.
        states: the language model's state after each prompt.
    """

    def __init__(
        self,
        records: Sequence[PromptRecord],
        window: int,
        searches: Searches,
        replicates: int = REPLICATES,
        states: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__(records, window, replicates, states)
        self._searches = searches

    def searched(self, record: PromptRecord, replicate: int, plan: Plan) -> Run:
        """The search of the replicate's seed; see `Replay.searched`."""
        runs = self._searches[record.prompt]
        found = runs[replicate % len(runs)].get(plan.sampled)
        if found is None:
            raise InputError("plan", str(plan), "it was not sampled; sample it with --fresh")
        return found


class SeededReplay(SearchedReplay):
    """Test records of which every replicate is a seed of its own: nothing is replayed twice.

    Args:
        records: the independent solutions of all seeds, one seed's after another's.
        each: independent solutions of each seed.
        searches: of each prompt, once a seed.
        states: the language model's state after each prompt.
    """

    def __init__(
        self,
        records: Sequence[PromptRecord],
        each: int,
        searches: Searches,
        states: NDArray[np.float32] | None = None,
    ) -> None:
        count = len(SEEDS)
        super().__init__(records, each * count, searches, count, states)
        self.each = each

    @property
    def pass_at_1(self) -> NDArray[np.float64]:
        """From all solutions of all seeds, shape (prompts,)."""
        return oracle_pass_at_1([record.independent.correct for record in self.records])

    @property
    def fresh_pass_at_1(self) -> NDArray[np.float64]:
        """Of each seed from the next seed's solutions, none of which it has seen; (prompts,
        seeds).
        """
        correct = np.array([record.independent.correct for record in self.records], dtype=float)
        by_seed = correct[:, : self.window].reshape(len(correct), -1, self.each).mean(axis=2)
        return np.roll(by_seed, -1, axis=1)
