"""``ttc report``, ``ttc inspect`` and ``ttc diff``: show artifacts; no model is loaded."""

from pathlib import Path
from typing import Annotated

import typer

from allocator.extras import require
from calibration.cli.artifact_view import differences, inspected
from calibration.cli.console import reports_errors, write_answer
from calibration.progress import console
from calibration.report.artifact_files import Contents
from calibration.report.diff import diff_tables
from calibration.report.page import REPORT, write_report

ArtifactArgument = Annotated[Path, typer.Argument(help="calibrated artifact folder")]


@reports_errors
def report(
    artifact: ArtifactArgument,
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; else report.html in the artifact")
    ] = None,
) -> None:
    """Write what calibration found as one page of HTML, its figures beside it as SVG."""
    require("report", "report", str(artifact))
    page, *figures = write_report(artifact, artifact / REPORT if out is None else out)
    names = "".join(f", {figure.name}" for figure in figures)
    console.print(f"Wrote {page}{names}", soft_wrap=True, highlight=False, markup=False)


@reports_errors
def inspect(artifact: ArtifactArgument) -> None:
    """Print an artifact: its table, what it was made with, predictor, gain, warnings."""
    write_answer(*inspected(Contents.load(artifact)))


@reports_errors
def diff(
    a: Annotated[Path, typer.Argument(help="one artifact folder")],
    b: Annotated[Path, typer.Argument(help="another")],
) -> None:
    """Print what changed from artifact A's table to B's.

    Plans, bins and fingerprints that differ, and accuracies. An accuracy
    is called significantly different only if the 95% interval of the
    difference excludes 0, by a z-test with standard errors from the two
    intervals, Holm-corrected over all cells compared. The two are taken
    to be independent estimates; if both were measured on the same
    prompts, the test is conservative. Bins are compared by rank, at
    budgets of both; rows with different numbers of bins are not compared.
    """
    write_answer(*differences(diff_tables(Contents.load(a).table, Contents.load(b).table)))
