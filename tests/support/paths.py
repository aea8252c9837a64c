"""Where the repository lies, and the data beside it that it does not contain."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
SHARED = Path(os.environ.get("TTC_SHARED_DATA", ROOT.parent / "shared" / "data"))
