"""How well any plan does on collected records, pilots and all, without sampling anything anew.

Every prompt is replayed several times: each replicate takes the prompt's independent solutions in
another rotation, so that other ones are its pilots and the first n of its best-of-n. Replicates
of a prompt are not independent, and no interval here takes them for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.plan import Plan
from calibration.collect import PromptRecord
from predictors.features import pilot_features
from predictors.sample import Sample
from runtime.selection import Selection, select

REPLICATES = 8


@dataclass(frozen=True)
class Outcome:
    """Of one plan, for every prompt and replicate: arrays of shape (prompts, replicates)."""

    correct: NDArray[np.float64]
    tokens: NDArray[np.float64]


class Replay:
    """Replays plans on records.

    Args:
        records: collected records; each has the same number of independent solutions.
        replicates: rotations of each prompt's solutions.

    Raises:
        InputError: no records.
    """

    def __init__(self, records: Sequence[PromptRecord], replicates: int = REPLICATES) -> None:
        if not records:
            raise InputError("records", [], "collect at least one prompt")
        self.records = records
        self.replicates = replicates
        self._known: dict[tuple[Plan, int, Selection], Outcome] = {}

    @property
    def pass_at_1(self) -> NDArray[np.float64]:
        """Oracle difficulty of every prompt, shape (prompts,)."""
        return np.array([record.pass_at_1 for record in self.records])

    def order(self, record: PromptRecord, replicate: int) -> list[int]:
        """The order a replicate takes the record's independent solutions in."""
        total = len(record.independent.samples)
        shift = replicate * total // self.replicates
        return [(i + shift) % total for i in range(total)]

    def pilots(self, record: PromptRecord, replicate: int, count: int) -> list[Sample]:
        """A replicate's pilot samples."""
        return [record.independent.samples[i] for i in self.order(record, replicate)[:count]]

    def features(self, pilots: int) -> NDArray[np.float64]:
        """Pilot features, shape (prompts, replicates, features)."""
        return np.array(
            [
                [
                    pilot_features(record.prompt_tokens, self.pilots(record, r, pilots))
                    for r in range(self.replicates)
                ]
                for record in self.records
            ]
        )

    def outcome(self, plan: Plan, pilots: int, how: Selection = "weighted") -> Outcome:
        """Whether the plan answers right, and the tokens it samples, everywhere.

        Raises:
            InputError: a beam search that was not collected.
        """
        key = (plan, pilots, how)
        if key not in self._known:
            everywhere = [[plan] * self.replicates] * len(self.records)
            self._known[key] = self.mixed_outcome(everywhere, pilots, how)
        return self._known[key]

    def mixed_outcome(
        self, plans: Sequence[Sequence[Plan]], pilots: int, how: Selection = "weighted"
    ) -> Outcome:
        """The same where every prompt and replicate has a plan of its own."""
        cells = [
            [self._one(record, r, plan, pilots, how) for r, plan in enumerate(of_record)]
            for record, of_record in zip(self.records, plans, strict=True)
        ]
        values = np.array(cells, dtype=float)
        return Outcome(values[..., 0], values[..., 1])

    def _one(
        self, record: PromptRecord, replicate: int, plan: Plan, pilots: int, how: Selection
    ) -> tuple[float, float]:
        drawn = plan.n if plan.strategy == "best_of_n" else pilots
        samples = self.pilots(record, replicate, max(drawn, pilots))
        tokens = sum(sample.tokens for sample in samples)
        if plan.strategy == "beam_search":
            if plan not in record.searches:
                raise InputError("plan", str(plan), "it was not collected; collect it first")
            samples = [*samples, *record.searches[plan].samples]
            tokens += record.searches[plan].sampled_tokens
        return float(select(samples, how).answer == record.gold), tokens
