"""``ttc demo``: the whole path on the models of this repository."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from allocator.errors import InputError
from allocator.extras import require
from allocator.lock import check_writable
from calibration.cli.console import reports_errors
from calibration.cli.options import EngineOption


@reports_errors
def demo(
    prompts: Annotated[int, typer.Option(help="held-out test prompts")] = 200,
    out: Annotated[Path, typer.Option(help="folder for demo.json and demo.png")] = Path("out"),
    engine: EngineOption = "auto",
) -> None:
    """The whole path on the committed testbed: what allocation saves against best-of-N."""
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "it is a file; give a folder")
    root = Path(__file__).parents[2]
    if not (root / "benchmarks" / "demo.py").is_file():
        raise InputError(
            "demo",
            str(root),
            "the package is without the demo's models and prompts, which are in its repository: "
            "clone that, and run make demo there",
        )
    require("report", "out", str(out))
    check_writable(out / "demo.json")
    sys.path.insert(0, str(root))
    from benchmarks.demo import run_demo

    run_demo(prompts, out, engine)
