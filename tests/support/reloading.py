"""Artifacts to put in the place of the testbed's: others of the same models, and bad ones."""

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from benchmarks.testbed.paths import ARTIFACT, BASE, PRM
from runtime.artifact import SETTINGS, TABLE


def artifact_at(folder: Path, budgets: Collection[int] | None = None) -> Path:
    """The testbed's artifact with some of its budgets, in a folder of its own.

    Without the budgets 6 and 8, which leaves 4, it samples 4 solutions where 8 are allowed. Neither
    takes pilots there: prompts asked again would be called drift.
    """
    shutil.copytree(ARTIFACT, folder)
    models = {"model": str(BASE.resolve()), "verifier": str(PRM.resolve())}
    rewritten(folder / SETTINGS, lambda settings: settings | models)
    if budgets is not None:
        rewritten(
            folder / TABLE,
            lambda table: (
                table | {"rows": [row for row in table["rows"] if row["budget"] in budgets]}
            ),
        )
    return folder


def rewritten(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Rewrite a file of JSON."""
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


FEWER = (1, 2, 3, 4, 12, 16, 24, 32, 48, 64)
