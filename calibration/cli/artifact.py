"""``ttc report``, ``ttc inspect`` and ``ttc diff``: show artifacts; no model is loaded."""

from pathlib import Path
from typing import Annotated

import typer

from allocator.errors import InputError
from allocator.extras import require
from calibration.cli.artifact_view import differences, inspected
from calibration.cli.console import reports_errors, write_answer
from calibration.cli.options import ArtifactArgument
from calibration.progress import console
from calibration.report.artifact_files import Contents
from calibration.report.card import write_card
from calibration.report.diff import diff_tables
from calibration.report.page import REPORT, write_report
from runtime.artifact import artifact_folder
from runtime.artifact.hub import hub_origin


@reports_errors
def report(
    artifact: ArtifactArgument,
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; else report.html in the artifact")
    ] = None,
) -> None:
    """Write what calibration found as one page of HTML, its figures beside it as SVG.

    Without --out the artifact's card, README.md, is brought up to date too.
    """
    require("report", "report", str(artifact))
    folder = artifact_folder(artifact)
    if out is None and hub_origin(folder) is not None:
        raise InputError("out", None, f"give a file: {artifact} is an artifact on the Hub")
    page, *figures = write_report(folder, folder / REPORT if out is None else out)
    if out is None:
        write_card(folder)
    names = "".join(f", {figure.name}" for figure in figures)
    console.print(f"Wrote {page}{names}", soft_wrap=True, highlight=False, markup=False)


@reports_errors
def inspect(artifact: ArtifactArgument) -> None:
    """Print an artifact: its table, what it was made with, predictor, gain, warnings."""
    write_answer(*inspected(Contents.load(artifact_folder(artifact))))


@reports_errors
def diff(
    a: ArtifactArgument,
    b: ArtifactArgument,
) -> None:
    """Print what changed from artifact A's table to B's.

    Plans, bins and fingerprints that differ, and accuracies. An accuracy
    is called significantly different only if the 95% interval of the
    difference excludes 0, by a z-test with standard errors from the two
    intervals, Holm-corrected over all cells compared. The two are taken
    to be independent estimates; if both were measured on the same
    prompts, the test is conservative. Bins are compared by rank, at
    budgets of both; rows with different numbers of bins are not compared.
    Over all prompts the same test compares what the tables reach at each
    budget; by this, ttc reload decides.
    """
    tables = (Contents.load(artifact_folder(each)).table for each in (a, b))
    write_answer(*differences(diff_tables(*tables)))
