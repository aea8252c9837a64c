"""README and docs/results.md say what was measured, and name commands that are there."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from benchmarks.pages import __main__ as pages
from benchmarks.pages import figures
from benchmarks.pages.tables import measured_by, saving, spread, table, targets


def test_the_pages_have_the_measured_figures() -> None:
    readme, results = pages.README.read_text(), pages.RESULTS.read_text()
    assert pages.render_readme(readme) == readme
    assert pages.render_results() == results
    for name, section in pages.measured().items():
        assert f"## {section.title}\n\n" in results
        assert (f"<!-- {name}:begin -->" in readme) is (section.short is not None)


def test_a_figure_that_changes_no_longer_agrees_with_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pages.DOCS, tmp_path / "docs")
    monkeypatch.setattr(pages, "DOCS", tmp_path / "docs")
    found = json.loads((tmp_path / "docs/demo.json").read_text())
    found["gains"]["generations"]["value"] += 1
    (tmp_path / "docs/demo.json").write_text(json.dumps(found))
    readme = pages.README.read_text()
    assert pages.render_readme(readme) != readme


def test_the_figures_may_be_drawn_without_the_larger_model() -> None:
    found = pages.read("figures")
    del found["figures"]["F9"]
    assert "F9" not in figures.short(found)
    assert "### F9" not in figures.full(found)


def test_every_picture_and_command_on_the_pages_is_there() -> None:
    for page in (pages.README, pages.RESULTS, pages.DOCS / "gpu.md"):
        text = page.read_text()
        for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
            assert (page.parent / picture).is_file(), picture
        for module in re.findall(r"python -m (benchmarks[\w.]*)", text):
            assert importlib.util.find_spec(module) is not None, module


def test_results_and_their_pictures_are_taken_from_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, docs = tmp_path / "out", tmp_path / "docs"
    out.mkdir()
    (out / "demo.json").write_text("{}")
    (out / "demo.png").write_bytes(b"picture")
    monkeypatch.setattr(pages, "OUT", out)
    monkeypatch.setattr(pages, "DOCS", docs)
    pages.take("demo")
    assert sorted(path.name for path in docs.iterdir()) == ["demo.json", "demo.png"]
    assert pages.read("demo") == {}


def test_targets_say_whether_they_are_met() -> None:
    rows = [
        {"name": "gain", "value": 5.0, "low": 4.0, "high": 6.0, "target": 4.0, "met": True},
        {
            "name": "share",
            "value": 0.9,
            "low": 0.9,
            "high": 0.9,
            "target": [0.1, 0.5],
            "met": False,
        },
        {"name": "seen", "value": 1.0, "low": 0.5, "high": 2.0, "target": None, "met": None},
    ]
    assert targets(rows).splitlines()[2:] == [
        "| gain | 5 [4, 6] | 4 | met |",
        "| share | 0.9 | 0.1 to 0.5 | not met |",
        "| seen | 1 [0.5, 2] |  |  |",
    ]


def test_small_forms() -> None:
    row = {"value": 0.0, "low": 0.0, "high": 2.04}
    assert saving(row) == "not reached [–, 2.0]"
    assert saving(row | {"value": 1.06}) == "1.1 [–, 2.0]"
    assert spread(row, ".1f") == "0.0 [0.0, 2.0]"
    assert spread({"value": 253.4, "low": 2000.0, "high": 1e6}) == "253 [2,000, 1,000,000]"
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |"
    data = {
        "date": "2026-11-26",
        "machine": "2 cores of X",
        "python": "3.11",
        "versions": {"torch": "2.13.0"},
    }
    listed = "`make demo`: 2026-11-26; 2 cores of X; Python 3.11; torch 2.13.0"
    assert measured_by("make demo", data) == f"{listed}."
    assert measured_by("make demo", data | {"seed": 0}) == f"{listed}; seed 0."
