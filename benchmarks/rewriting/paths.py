"""Where the rewriting task's files lie, and how its models are sampled and graded."""

from pathlib import Path

from runtime.engines.base import SamplingSettings
from runtime.settings import Settings

ROOT = Path(__file__).parent
BASE, PRM = ROOT / "models" / "base", ROOT / "models" / "prm"
ARTIFACT = ROOT / "artifact"
CALIBRATION_PROMPTS = ROOT / "data" / "calibration.jsonl"

SETTINGS = Settings(
    model=str(BASE),
    verifier=str(PRM),
    answers="pattern:^#([a-f]+)$",
    sampling=SamplingSettings(temperature=1.0, max_tokens=160, step_end="\n"),
)
