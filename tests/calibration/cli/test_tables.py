"""What the commands print is readable in 80 columns, without colour, and in a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rewriting.paths import ARTIFACT as REWRITING
from benchmarks.testbed.paths import ARTIFACT
from calibration.cli.bench_view import comparison
from calibration.cli.console import new_table, render_table, write_answer
from runtime.artifact import Artifact
from tests.support.cli import assert_readable, invoke, rendered
from tests.support.paths import ROOT
from tests.support.summaries import bench_result, minimal_table

LARGER = ("--larger", "11.3e6", "--larger-accuracy", "1,1,0.9,0.7,0.4", "--pretraining-tokens", 1e9)


@pytest.mark.parametrize("artifact", [ARTIFACT, REWRITING], ids=["testbed", "rewriting"])
def test_inspect(artifact: Path) -> None:
    status, out, message = invoke("inspect", artifact)
    assert status == 0, message
    assert_readable(out)
    for row in Artifact.load(artifact).policy.table.rows:
        for cell in row.cells:
            interval = f"{cell.accuracy:.0%} [{cell.low:.0%}, {cell.high:.0%}]"
            lines = [line for line in out.splitlines() if str(cell.plan) in line]
            assert any(interval in line for line in lines), "plan and accuracy in one line"


def test_diff() -> None:
    status, out, message = invoke("diff", ARTIFACT, REWRITING)
    assert status == 0, message
    assert_readable(out)
    assert "-> beam search N=4 M=4" in out


def test_flops() -> None:
    status, out, message = invoke("flops", ARTIFACT, *LARGER)
    assert status == 0, message
    assert_readable(out)
    # The longest verdict, in one line: of some bins at two budgets.
    assert out.count("cannot be told apart") == 6


@pytest.mark.slow
def test_explain() -> None:
    row = Artifact.load(REWRITING).policy.row(12)
    assert row.pilots
    options = ("--artifact", REWRITING, "--engine", "transformers", "--budget", 12)
    status, _, message = invoke("explain", *options, "dacbfe.R.M3.Cab")
    assert status == 0, message
    tables = message[message.index("What moved the prediction") :]
    assert_readable(tables)
    assert all(str(cell.plan) in " ".join(tables.split()) for cell in row.cells)


def test_bench() -> None:
    result = bench_result()
    found = result.model_dump()
    text = rendered(*comparison(result.curves, found["gains"], found["budgets"], result.baseline))
    assert_readable(text)
    for curve in found["curves"]:
        for point in curve["points"]:
            if point["budget"] not in found["budgets"]:
                continue
            line = f"{point['accuracy']:.1%} [{point['low']:.0%}, {point['high']:.0%}]"
            assert line in text
        assert all(word in text for word in curve["name"].split())


def test_a_cell_wider_than_the_table_goes_on_in_the_next_line() -> None:
    shown = new_table("A title", "a", "b")
    shown.add_row("x" * 150, "y" * 20)
    text = rendered(shown)
    assert_readable(text)
    assert (text.count("x"), text.count("y")) == (150, 20)


@pytest.mark.slow
def test_a_locale_without_box_characters_gets_ascii() -> None:
    command = [sys.executable, "-m", "calibration.cli", "inspect", str(ARTIFACT)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "?" not in done.stdout
    assert_readable(done.stdout)


def test_flops_have_a_column_where_they_were_counted() -> None:
    known = minimal_table()
    (row,) = known.rows
    uncounted = [cell.model_copy(update={"flops": None}) for cell in row.cells]
    old = row.model_copy(update={"cells": tuple(uncounted)})
    shown = [rendered(render_table(known.model_copy(update={"rows": (r,)}))) for r in (row, old)]
    assert ["FLOPs" in text for text in shown] == ["1.5e8" in text for text in shown]
    assert ["FLOPs" in text for text in shown] == [True, False]


def test_tables_are_set_apart(capsys: pytest.CaptureFixture[str]) -> None:
    table = render_table(Artifact.load(ARTIFACT).policy.table)
    write_answer("first\n", table, table)
    lines = capsys.readouterr().out.splitlines()
    titles = [i for i, line in enumerate(lines) if line.startswith("Plans by")]
    assert [lines[i - 1].strip() for i in titles] == ["", ""]
