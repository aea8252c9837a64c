"""``ttc report``, ``ttc inspect`` and ``ttc diff`` from the command line."""

import shutil
from pathlib import Path

import pytest

from benchmarks.testbed.paths import ARTIFACT, SETTINGS
from runtime.artifact import load_settings
from tests.support.cli import invoke, refused
from tests.support.summaries import (
    artifact,
    minimal_summary,
    minimal_table,
    rich_summary,
    rich_table,
)


@pytest.mark.slow
def test_report(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", rich_summary(), rich_table(), SETTINGS)
    status, out, message = invoke("report", folder)
    assert status == 0, message
    assert out == ""
    assert f"Wrote {folder / 'report.html'}, report-accuracy.svg" in message
    assert (folder / "report.html").is_file()
    card = folder / "README.md"
    assert "](report-accuracy.png)" in card.read_text()
    card.unlink()
    assert invoke("report", folder, "--out", tmp_path / "mine.html")[0] == 0
    assert (tmp_path / "mine.html").read_bytes() == (folder / "report.html").read_bytes()
    assert not card.exists()  # nothing is written into the artifact
    assert "a folder that exists" in refused("report", folder, "--out", tmp_path)


def test_inspect(tmp_path: Path) -> None:
    hostile = "[bold]12 prompts[/bold] [/] are odd"
    folder = artifact(tmp_path / "a", rich_summary(warnings=(hostile,)), rich_table(), SETTINGS)
    status, out, message = invoke("inspect", folder)
    assert status == 0, message
    assert out.startswith("Compute-optimal reaches 70.9% with 4.2 generations per prompt")
    for word in ("beam search N=8 M=2", "b20e4c6bdfed5bb4", "rank correlation 0.86", hostile):
        assert word in out
    # In a sentence, in the table, and in that of each way's saving.
    assert "6.0e8" in out
    assert out.count("FLOPs") == 3


def test_inspect_an_artifact_with_less_in_it(tmp_path: Path) -> None:
    status, out, _ = invoke("inspect", artifact(tmp_path / "a", minimal_summary(), minimal_table()))
    assert status == 0
    assert "made from logs" in out
    (tmp_path / "a" / "summary.json").unlink()
    status, out, _ = invoke("inspect", tmp_path / "a")
    assert status == 0
    assert "no summary.json" in out
    assert "make one with ttc calibrate" in refused("inspect", tmp_path)


def test_diff(tmp_path: Path) -> None:
    folder = tmp_path / "testbed"
    shutil.copytree(ARTIFACT, folder, ignore=shutil.ignore_patterns("*.parquet"))
    assert "No differences" in invoke("diff", ARTIFACT, folder)[1]
    other = artifact(tmp_path / "a", minimal_summary(), minimal_table())
    status, out, message = invoke("diff", other, folder)
    assert status == 0, message
    assert "Holm-corrected" in out
    intercept = load_settings(folder).scoring.intercept
    for words in (
        ["scoring: intercept", "4.3", str(intercept)],
        ["budget 64", "calibrated", "no", "yes"],
    ):
        line = next(line for line in out.splitlines() if words[0] in line)
        assert all(word in line for word in words)
    assert "make one with ttc calibrate" in refused("diff", folder, tmp_path)
