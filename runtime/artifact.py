"""The artifact folder: its files' names, its one writer and its readers.

settings.json       models, answers and sampling it was made with
table.json          the lookup table over predicted difficulty: what the policy uses
oracle_table.json   the same over oracle difficulty: the paper's bound, for benchmarks
difficulty-N.*      difficulty from N pilots: predictor (LightGBM's text format), distribution
                    (JSON), and for 0 pilots a probe of the model's own state (safetensors)
curves.json         accuracy of every plan in every bin
prices.json         the schedule of adaptive runs, and their cost and accuracy at each price
gain_model.json     what more solutions gain
latency.json        seconds of every plan
drift_baseline.json what calibration's pilots looked like
summary.json        what was found, for people: see `calibration.report.summary`
samples.parquet     what was sampled; nothing of it is read to run
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allocator.curves import AccuracyCurves
from allocator.drift_baseline import DriftBaseline
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.policy import Policy
from allocator.price import PriceList
from allocator.table import Fingerprint, LookupTable
from predictors.difficulty import DifficultyModel
from predictors.gain_model import GainModel
from runtime.engines.base import SamplingSettings
from runtime.settings import Settings

SETTINGS, TABLE, ORACLE_TABLE = "settings.json", "table.json", "oracle_table.json"
CURVES, PRICES, GAIN_MODEL = "curves.json", "prices.json", "gain_model.json"
LATENCY, DRIFT_BASELINE = "latency.json", "drift_baseline.json"
SUMMARY, SAMPLES = "summary.json", "samples.parquet"

# What files were called by older versions of this library.
FORMER = {GAIN_MODEL: "prospects.json", DRIFT_BASELINE: "reference.json"}

# What the fingerprint of a table made from logs calls its verifier.
OF_LOGS = "log"


@dataclass(frozen=True)
class ArtifactParts:
    """What calibration has found, to be written.

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


@dataclass(frozen=True)
class Artifact:
    """A calibrated artifact, read back and checked.

    Attributes:
        folder: where it lies.
        settings: what it was calibrated with.
        policy: over its table.
        difficulty: difficulty models by number of pilots, ascending.
        curves: accuracy of every plan in every bin.
        prices: the schedule, and what prices lead to.
        gain_model: what more solutions gain on it.
        latency: seconds of every plan.
        drift_baseline: what calibration's pilots looked like.
        foreign: what of the table's fingerprint is no longer so, in words; empty unless forced.
    """

    folder: Path
    settings: Settings
    policy: Policy
    difficulty: dict[int, DifficultyModel]
    curves: AccuracyCurves
    prices: PriceList
    gain_model: GainModel
    latency: Latency
    drift_baseline: DriftBaseline
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
            folder=folder,
            settings=settings,
            policy=Policy(table),
            difficulty=DifficultyModel.load_all(folder),
            curves=AccuracyCurves.load(folder / CURVES),
            prices=read_prices(folder),
            gain_model=GainModel.load(_file(folder, GAIN_MODEL)),
            latency=read_latency(folder),
            drift_baseline=DriftBaseline.load(_file(folder, DRIFT_BASELINE)),
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


def read_latency(folder: Path) -> Latency:
    """Seconds of every plan; none of them in an artifact without the file.

    Raises:
        InputError: damaged.
    """
    return Latency.load(folder / LATENCY)


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
                f"it was made from logs, and names no model to run (it has no {SETTINGS}); run "
                "ttc calibrate with --model and --verifier for one that does",
            )
        raise InputError(
            "artifact", str(folder), f"it has no {SETTINGS}; make one with ttc calibrate"
        )
    return Settings.load(path)
