"""The artifact folder: its files' names, its one writer and its readers.

settings.json       models, answers and sampling
table.json          the lookup table over predicted difficulty: what the policy uses
oracle_table.json   the same over oracle difficulty: the paper's bound, for benchmarks
difficulty-N.*      difficulty from N pilots: predictor (LightGBM's text format), distribution
                    (JSON), and for 0 pilots a probe of the model's own state (safetensors)
curves.json         accuracy of every plan in every bin
prices.json         the schedule of adaptive runs, and their cost and accuracy at each price
gain_model.json     what more solutions gain
latency.json        seconds of every plan
drift_baseline.json what calibration's pilots looked like
scoring.json        how a logged sample is scored, where there are no settings to say it
questions.json      hashes of the logged questions that it was calibrated on
logged.json         pass@1 and length of the logged samples, for ttc attach to compare with
summary.json        what was found, for people: see `calibration.report.summary`
tokens/             the table and the difficulty models of budgets in tokens
samples.parquet     what was sampled; nothing of it is read to run
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allocator.curves import AccuracyCurves
from allocator.drift_baseline import DriftBaseline
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.policy import Policy
from allocator.price import PriceList
from allocator.table import Fingerprint, LookupTable
from predictors.difficulty import DifficultyModel
from predictors.gain_model import GainModel
from predictors.scoring import Scoring
from predictors.token_policy import TokenPolicy
from runtime.engines.base import SamplingSettings
from runtime.settings import Settings

SETTINGS, TABLE, ORACLE_TABLE = "settings.json", "table.json", "oracle_table.json"
CURVES, PRICES, GAIN_MODEL = "curves.json", "prices.json", "gain_model.json"
LATENCY, DRIFT_BASELINE = "latency.json", "drift_baseline.json"
SUMMARY, SAMPLES = "summary.json", "samples.parquet"
SCORING, QUESTIONS, LOGGED_FIGURES = "scoring.json", "questions.json", "logged.json"

# What files were called by older versions of this library.
FORMER = {GAIN_MODEL: "prospects.json", DRIFT_BASELINE: "reference.json"}

# What the fingerprint of a table made from logs calls its verifier.
OF_LOGS = "log"


@dataclass(frozen=True)
class ArtifactParts:
    """What calibration has found, to be written: what `FittedPolicy` reads, and settings.

    Attributes:
        table: over predicted difficulty.
        oracle_table: over oracle difficulty.
        settings: what was sampled with, as seen from the folder; None where it was made from logs.
        latency: seconds of every plan; None likewise.
        scoring: how logged samples are scored; None where settings say it, or nothing does.
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


@dataclass(frozen=True, kw_only=True)
class FittedPolicy:
    """What an artifact decides by, read back; without the models that it was made with.

    Attributes:
        folder: where it lies.
        policy: over its table.
        difficulty: difficulty models by number of pilots, ascending.
        curves: accuracy of every plan in every bin.
        prices: the schedule, and what prices lead to.
        gain_model: what more solutions gain on it.
        latency: seconds of every plan.
        drift_baseline: what calibration's pilots looked like.
        scoring: how a sample is scored; None where votes are only counted.
        tokens: the policy whose budgets are tokens; None where it has none.
    """

    folder: Path
    policy: Policy
    difficulty: dict[int, DifficultyModel]
    curves: AccuracyCurves
    prices: PriceList
    gain_model: GainModel
    latency: Latency
    drift_baseline: DriftBaseline
    scoring: Scoring | None
    tokens: TokenPolicy | None = None

    @classmethod
    def read(cls, folder: Path) -> "FittedPolicy":
        """Read the policy of any artifact, of one made from logs too.

        Raises:
            InputError: missing or damaged.
        """
        return cls(**_policy_files(folder, read_table(folder)), scoring=read_scoring(folder))


@dataclass(frozen=True, kw_only=True)
class Artifact(FittedPolicy):
    """A calibrated artifact, read back and checked against the models it names.

    Attributes:
        settings: what it was calibrated with.
        foreign: what of the table's fingerprint is no longer so, in words; empty unless forced.
    """

    settings: Settings
    foreign: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path, force: bool = False) -> "Artifact":
        """Read an artifact and check that it belongs to the models it names.

        Args:
            folder: the artifact's.
            force: take it although the models have changed; `foreign` then says how.

        Raises:
            InputError: missing or damaged, or the models have changed since calibration.
        """
        settings = load_settings(folder)
        table = read_table(folder)
        found = settings.fingerprint(folder)
        foreign = []
        for name in Fingerprint.model_fields:
            here, calibrated = getattr(found, name), getattr(table.fingerprint, name)
            if name == "sampling":  # ways to sample that it knew nothing of were off
                calibrated = SamplingSettings.model_validate(calibrated).model_dump()
            if here == calibrated:
                continue
            if not force:
                raise InputError(
                    f"artifact {name}",
                    here,
                    f"{folder} was calibrated with {calibrated!r}; use that one, run ttc calibrate "
                    "for this one, or use it all the same with --force",
                )
            foreign.append(f"{name} is {here!r}, the table was calibrated with {calibrated!r}")
        return cls(
            **_policy_files(folder, table),
            scoring=settings.scoring,
            settings=settings,
            foreign=tuple(foreign),
        )

    def oracle_table(self) -> LookupTable:
        """The table over oracle difficulty, for benchmarks.

        Raises:
            InputError: missing or damaged, or measured with something else than the policy's.
        """
        table = read_oracle_table(self.folder)
        if table.fingerprint != self.policy.table.fingerprint:
            raise InputError(
                "oracle table",
                str(self.folder / ORACLE_TABLE),
                "it was not measured with what the policy's table was; calibrate again",
            )
        return table


def _policy_files(folder: Path, table: LookupTable) -> dict[str, Any]:
    """The attributes of `FittedPolicy` that have files of their own; the table is read already."""
    return {
        "folder": folder,
        "policy": Policy(table),
        "difficulty": DifficultyModel.load_all(folder),
        "curves": AccuracyCurves.load(folder / CURVES),
        "prices": read_prices(folder),
        "gain_model": read_gain_model(folder),
        "latency": read_latency(folder),
        "tokens": TokenPolicy.read(folder),
        "drift_baseline": DriftBaseline.load(_file(folder, DRIFT_BASELINE)),
    }


def _file(folder: Path, name: str) -> Path:
    """A file of an artifact, under its former name where it has that one alone."""
    former = folder / FORMER[name]
    return former if former.is_file() and not (folder / name).is_file() else folder / name


def is_artifact(folder: Path) -> bool:
    """Whether a folder holds an artifact's table; nothing is read."""
    return (folder / TABLE).is_file()


def read_table(folder: Path) -> LookupTable:
    """An artifact's table over predicted difficulty.

    Raises:
        InputError: missing or damaged.
    """
    return LookupTable.load(folder / TABLE)


def read_oracle_table(folder: Path) -> LookupTable:
    """An artifact's table over oracle difficulty.

    Raises:
        InputError: missing or damaged.
    """
    return LookupTable.load(folder / ORACLE_TABLE)


def read_prices(folder: Path) -> PriceList:
    """An artifact's schedule, and what prices lead to.

    Raises:
        InputError: missing or damaged.
    """
    return PriceList.load(folder / PRICES)


def read_gain_model(folder: Path) -> GainModel:
    """What more solutions gain on an artifact's schedule.

    Raises:
        InputError: missing or damaged.
    """
    return GainModel.load(_file(folder, GAIN_MODEL))


def read_latency(folder: Path) -> Latency:
    """Seconds of every plan; none of them in an artifact without the file.

    Raises:
        InputError: damaged.
    """
    return Latency.load(folder / LATENCY)


def read_scoring(folder: Path) -> Scoring | None:
    """How an artifact scores samples; None where votes are only counted.

    Raises:
        InputError: damaged.
    """
    if (folder / SETTINGS).is_file():
        return load_settings(folder).scoring
    path = folder / SCORING
    return Scoring.load(path) if path.is_file() else None


def load_settings(folder: Path) -> Settings:
    """An artifact's settings.

    Raises:
        InputError: no artifact there, a damaged one, or one made from logs.
    """
    path = folder / SETTINGS
    if not path.is_file():
        if is_artifact(folder) and read_table(folder).fingerprint.verifier == OF_LOGS:
            raise InputError(
                "artifact",
                str(folder),
                f"it was made from logs, and names no model to run (it has no {SETTINGS}); give it "
                "some with ttc attach",
            )
        raise InputError(
            "artifact", str(folder), f"it has no {SETTINGS}; make one with ttc calibrate"
        )
    return Settings.load(path)
