"""The files of an artifact folder: their names, and one reader for each."""

import hashlib
from pathlib import Path

from allocator.drift_baseline import DriftBaseline
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.price import PriceList
from allocator.table import LookupTable
from predictors.gain_model import GainModel
from predictors.scoring import Scoring
from predictors.thinking_policy import THINKING
from predictors.token_policy import TOKENS
from runtime.settings import Settings

SETTINGS, TABLE, ORACLE_TABLE = "settings.json", "table.json", "oracle_table.json"
CURVES, PRICES, GAIN_MODEL = "curves.json", "prices.json", "gain_model.json"
LATENCY, DRIFT_BASELINE = "latency.json", "drift_baseline.json"
SUMMARY, SAMPLES = "summary.json", "samples.parquet"
SCORING, QUESTIONS, LOGGED_FIGURES = "scoring.json", "questions.json", "logged.json"
CARD = "README.md"

# What files were called by older versions of this library.
FORMER_NAMES = {GAIN_MODEL: "prospects.json", DRIFT_BASELINE: "reference.json"}

_PREDICTORS = tuple(f"difficulty-*.{kind}" for kind in ("json", "txt", "safetensors"))

# Patterns of the files that an artifact is read from: JSON, LightGBM's text, safetensors, Parquet.
FILE_PATTERNS = (
    *(SETTINGS, TABLE, ORACLE_TABLE, CURVES, PRICES, GAIN_MODEL, LATENCY, DRIFT_BASELINE),
    *(SUMMARY, SCORING, QUESTIONS, LOGGED_FIGURES, THINKING, *FORMER_NAMES.values()),
    *_PREDICTORS,
    *(f"{TOKENS}/{name}" for name in (TABLE, *_PREDICTORS)),
    SAMPLES,
)

# What the fingerprint of a table made from logs calls its verifier.
LOG_VERIFIER = "log"


def _file(folder: Path, name: str) -> Path:
    """A file of an artifact, under its former name where it has that one alone."""
    former = folder / FORMER_NAMES[name]
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


def read_drift_baseline(folder: Path) -> DriftBaseline:
    """What the pilots of an artifact's calibration looked like.

    Raises:
        InputError: missing or damaged.
    """
    return DriftBaseline.load(_file(folder, DRIFT_BASELINE))


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
        if is_artifact(folder) and read_table(folder).fingerprint.verifier == LOG_VERIFIER:
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


def content_label(folder: Path) -> str:
    """A short name for people: the folder's, and a hash of all that the artifact decides by."""
    digest = hashlib.sha256()
    deciding = [name for name in FILE_PATTERNS if name not in (SUMMARY, SAMPLES)]
    for path in sorted({path for name in deciding for path in folder.glob(name)}):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{folder.resolve().name}-{digest.hexdigest()[:8]}"
