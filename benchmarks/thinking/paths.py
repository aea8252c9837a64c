"""Where the thinking model's files lie, and the marks of its thoughts."""

from pathlib import Path

ROOT = Path(__file__).parent
BASE = ROOT / "models" / "base"
CALIBRATION_PROMPTS = ROOT / "data" / "calibration.jsonl"
TEST_PROMPTS = ROOT / "data" / "test.jsonl"
MEASURED = ROOT / "measured.json"

ANSWERS = r"pattern:^#(\d+)$"
# Tokens of the longest sequence: prompt, thought and answer.
CONTEXT = 1024
