"""Where the testbed's files lie, and how its models are sampled and graded."""

from pathlib import Path

from runtime.engines.base import SamplingSettings
from runtime.request import RequestSettings
from runtime.settings import Settings

ROOT = Path(__file__).parent
BASE, PRM, ORM = ROOT / "models" / "base", ROOT / "models" / "prm", ROOT / "models" / "orm"
# Of the base model's size; the weak one's backbone has seen half as many tokens.
OWN_PRM, WEAK_PRM = ROOT / "models" / "own_prm", ROOT / "models" / "weak_prm"
REVISER, REVISER_ORM = ROOT / "models" / "reviser", ROOT / "models" / "reviser_orm"
# What the verifiers are trained from; rebuilt by make testbed, their weights are within theirs.
BACKBONE, OWN_BACKBONE = Path("out/backbone"), Path("out/own-backbone")
WEAK_BACKBONE = Path("out/weak-backbone")
ARTIFACT = ROOT / "artifact"
POOLS = ROOT / "pools"
TEST_POOL = POOLS / "test.parquet"  # independent solutions of test prompts
CALIBRATION_PROMPTS, TEST_PROMPTS = (
    ROOT / "data" / "calibration.jsonl",
    ROOT / "data" / "test.jsonl",
)

SETTINGS = Settings(
    model=str(BASE),
    verifier=str(PRM),
    answers=r"pattern:^#(\d+)$",
    sampling=SamplingSettings(temperature=1.0, max_tokens=160, step_end="\n", max_steps=40),
)
# With the reviser and its ORM.
REVISING = SETTINGS.model_copy(
    update={"reviser": str(REVISER), "reviser_verifier": str(REVISER_ORM)}
)
REQUEST_SETTINGS = RequestSettings(SETTINGS.sampling)
