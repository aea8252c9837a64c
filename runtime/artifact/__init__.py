"""The artifact folder: `parts` writes it, `files` reads its files, `loaded` is what they become.

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
thinking.json       when to stop, sample more or think deeper, by the price of a token
samples.parquet     what was sampled; nothing of it is read to run
README.md           its card, for people: see `calibration.report.card`

`hub` finds an artifact by its name, in a local folder or on the Hugging Face Hub.
"""

from runtime.artifact.files import (
    CARD,
    CURVES,
    DRIFT_BASELINE,
    FILE_PATTERNS,
    FORMER_NAMES,
    GAIN_MODEL,
    LATENCY,
    LOG_VERIFIER,
    LOGGED_FIGURES,
    ORACLE_TABLE,
    PRICES,
    QUESTIONS,
    SAMPLES,
    SCORING,
    SETTINGS,
    SUMMARY,
    TABLE,
    content_label,
    is_artifact,
    load_settings,
    read_drift_baseline,
    read_gain_model,
    read_latency,
    read_oracle_table,
    read_prices,
    read_scoring,
    read_table,
)
from runtime.artifact.hub import artifact_folder
from runtime.artifact.loaded import Artifact, FittedPolicy, foreign_parts
from runtime.artifact.parts import ArtifactParts

__all__ = [
    "CARD",
    "CURVES",
    "DRIFT_BASELINE",
    "FILE_PATTERNS",
    "FORMER_NAMES",
    "GAIN_MODEL",
    "LATENCY",
    "LOGGED_FIGURES",
    "LOG_VERIFIER",
    "ORACLE_TABLE",
    "PRICES",
    "QUESTIONS",
    "SAMPLES",
    "SCORING",
    "SETTINGS",
    "SUMMARY",
    "TABLE",
    "Artifact",
    "ArtifactParts",
    "FittedPolicy",
    "artifact_folder",
    "content_label",
    "foreign_parts",
    "is_artifact",
    "load_settings",
    "read_drift_baseline",
    "read_gain_model",
    "read_latency",
    "read_oracle_table",
    "read_prices",
    "read_scoring",
    "read_table",
]
