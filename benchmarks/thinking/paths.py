"""Where the thinking model's files lie, and the marks of its thoughts."""

from pathlib import Path

from runtime.engines.base import SamplingSettings
from runtime.settings import Settings

ROOT = Path(__file__).parent
BASE, ARTIFACT = ROOT / "models" / "base", ROOT / "artifact"
CALIBRATION_PROMPTS = ROOT / "data" / "calibration.jsonl"
TEST_PROMPTS = ROOT / "data" / "test.jsonl"
MEASURED = ROOT / "measured.json"

ANSWERS = r"pattern:^#(\d+)$"
# Tokens of the longest sequence: prompt, thought and answer.
CONTEXT = 1024

SETTINGS = Settings(
    model=str(BASE),
    verifier=None,
    answers=ANSWERS,
    sampling=SamplingSettings(temperature=1.0, max_tokens=800, step_end="\n", max_steps=40),
)
