"""What calibration has found, and the one writer of an artifact folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allocator.curves import AccuracyCurves
from allocator.drift_baseline import DriftBaseline
from allocator.latency import Latency
from allocator.price import PriceList
from allocator.table import LookupTable
from predictors.difficulty import DifficultyModel
from predictors.gain_model import GainModel
from predictors.scoring import Scoring
from predictors.thinking_policy import THINKING, ThinkingPolicy
from predictors.token_policy import TokenPolicy
from runtime.artifact.files import (
    CURVES,
    DRIFT_BASELINE,
    GAIN_MODEL,
    LATENCY,
    ORACLE_TABLE,
    PRICES,
    SCORING,
    SETTINGS,
    TABLE,
)
from runtime.artifact.loaded import FittedPolicy
from runtime.settings import Settings


@dataclass(frozen=True)
class ArtifactParts:
    """What calibration has found, to be written: what `FittedPolicy` reads, and settings.

    Attributes:
        table: over predicted difficulty.
        oracle_table: over oracle difficulty.
        difficulty: difficulty models by number of pilots.
        curves: accuracy of every plan in every bin.
        prices: the schedule, and what prices lead to.
        gain_model: what more solutions gain on it.
        drift_baseline: what calibration's pilots looked like.
        settings: what was sampled with, as seen from the folder; None where it was made from logs.
        latency: seconds of every plan; None likewise.
        scoring: how logged samples are scored; None where settings say it, or nothing does.
        tokens: the policy whose budgets are tokens; None where thoughts of one depth are known.
        thinking: the policy over width and depth of thought; None likewise.
    """

    table: LookupTable
    oracle_table: LookupTable
    difficulty: Mapping[int, DifficultyModel]
    curves: AccuracyCurves
    prices: PriceList
    gain_model: GainModel
    drift_baseline: DriftBaseline
    settings: Settings | None = None
    latency: Latency | None = None
    scoring: Scoring | None = None
    tokens: TokenPolicy | None = None
    thinking: ThinkingPolicy | None = None

    @classmethod
    def of(cls, policy: FittedPolicy, oracle_table: LookupTable) -> "ArtifactParts":
        """The parts of a policy, without settings, and without what only some artifacts store
        beside them: latency and scoring.
        """
        return cls(
            table=policy.policy.table,
            oracle_table=oracle_table,
            difficulty=policy.difficulty,
            curves=policy.curves,
            prices=policy.prices,
            gain_model=policy.gain_model,
            drift_baseline=policy.drift_baseline,
            tokens=policy.tokens,
            thinking=policy.thinking,
        )

    def save(self, folder: Path) -> None:
        """Write all files into a folder that exists."""
        self.table.save(folder / TABLE)
        self.oracle_table.save(folder / ORACLE_TABLE)
        for pilots, model in self.difficulty.items():
            model.save(folder, pilots)
        self.curves.save(folder / CURVES)
        self.prices.save(folder / PRICES)
        self.gain_model.save(folder / GAIN_MODEL)
        self.drift_baseline.save(folder / DRIFT_BASELINE)
        if self.settings is not None:
            self.settings.save(folder / SETTINGS)
        if self.latency is not None:
            self.latency.save(folder / LATENCY)
        if self.scoring is not None:
            self.scoring.save(folder / SCORING)
        if self.tokens is not None:
            self.tokens.save(folder)
        if self.thinking is not None:
            self.thinking.save(folder / THINKING)
