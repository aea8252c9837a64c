"""The report: what it says, and what it never does."""

import json
import re
from pathlib import Path

import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.price import PriceList, PricePoint
from allocator.schedule import schedule_of
from allocator.table import BudgetRow
from benchmarks.testbed.paths import SETTINGS
from calibration.replay.curve_summary import CurveSummary
from calibration.report.advice import recommendations
from calibration.report.artifact_files import Contents
from calibration.report.card import PICTURE
from calibration.report.heatmap import heat_map
from calibration.report.methods import leading_way, styles
from calibration.report.page import write_report
from calibration.report.summary import Summary
from runtime.artifact import ORACLE_TABLE, PRICES, SUMMARY, TABLE
from tests.support.summaries import (
    EARLY,
    METHODS,
    artifact,
    cell,
    minimal_summary,
    minimal_table,
    rich_summary,
    rich_table,
)

BASELINE = "best-of-N weighted"
HOSTILE = "<script>alert(1)</script> & $x_1$ \"quoted\" 'too'"


@pytest.mark.slow
def test_the_page_says_all_that_was_found(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", rich_summary(), rich_table(), SETTINGS)
    page, *figures = write_report(folder, folder / "report.html")
    assert [f.name for f in figures] == [
        "report-accuracy.svg",
        "report-accuracy.png",
        "report-bins.svg",
        "report-reliability.svg",
    ]
    drawn = [figure for figure in figures if figure.suffix == ".svg"]
    assert all(figure.read_text().rstrip().endswith("</svg>") for figure in drawn)
    assert (folder / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob("*.partial"))
    text = page.read_text()
    assert "<h1>Compute-optimal reaches 70.9% with 4.2 generations per prompt; best-of-N" in text
    for word in (
        *METHODS,
        *EARLY,
        "beam search N=8 M=2",
        "16 to 64",
        "95–100%",
        "no sample ever gave",
    ):
        assert word in text
    for value in (BASELINE, "5,312,804 tokens", "0.86", "b20e4c6bdfed5bb4", SETTINGS.verifier):
        assert value in text
    assert f"ttc solve --artifact {folder} --budget 8" in text
    assert "Generations are spent by difficulty bins (--budget), the cheapest of this" in text
    # What each way saves; one of them does not reach the accuracy.
    # A cell's cost, and a point's.
    for cost in ("1.5e8 FLOPs", "6.0e8 FLOPs", "1.2e8 FLOPs", "times fewer FLOPs"):
        assert cost in text
    for words in ("3.8 [2.1, 6.4]", "3.6 [2.1, 6.4]", "3.4 [2.1, 6.4]", "not reached"):
        assert words in text
    # Points between the table's budgets are drawn, and not in the table of numbers.
    assert '<th scope="col">64</th>' in text
    assert "22.63" not in text


def test_the_price_list_is_shown(tmp_path: Path) -> None:
    spent = (20.0, 16.0, 9.0, 4.0, 2.1, 1.0)
    points = tuple(
        PricePoint(price=0.001 * 2**row, generations=cost, accuracy=0.75 - 0.04 * row)
        for row, cost in enumerate(spent)
    )
    folder = artifact(tmp_path / "a", rich_summary(), rich_table(), SETTINGS)
    assert Contents.load(folder).price_rows == []
    PriceList(schedule=schedule_of(32), points=points).save(folder / PRICES)
    # Each about twice the last, and the largest.
    rows = Contents.load(folder).price_rows
    assert [row.generations for row in rows] == [1.0, 2.1, 9.0, 20.0]
    text = write_report(folder, tmp_path / "r.html")[0].read_text()
    section = text[text.index("What an average budget buys") :].split("</section>")[0]
    for row in rows:
        for value in (f"{row.generations:.1f}", f"{row.accuracy:.1%}", f"{row.price:.2g}"):
            assert f">{value}</t" in section
    assert "older version" not in section
    everyone = rich_summary().groups[0]
    old = tuple(curve for curve in everyone.curves if curve.name not in EARLY)
    group = everyone.model_copy(update={"curves": old})
    rich_summary(groups=(group,), ways=()).save(folder)
    text = write_report(folder, tmp_path / "r.html")[0].read_text()
    assert "An older version calibrated this artifact" in text
    assert "stopping early</b>" not in text


def test_summaries_from_before_flops_were_counted_are_read(tmp_path: Path) -> None:
    summary = rich_summary()
    summary.save(tmp_path)
    document = json.loads((tmp_path / SUMMARY).read_text())
    for gain in (document["gain"], *document["ways"]):
        del gain["flops"]
        gain["tokens"]["tokens"] = gain["tokens"].pop("spent")
    (tmp_path / SUMMARY).write_text(json.dumps(document))
    old = Summary.load(tmp_path)
    assert old.gain is not None
    assert summary.gain is not None
    assert (old.gain.tokens, old.gain.flops) == (summary.gain.tokens, None)


def test_summaries_of_the_first_version_are_read(tmp_path: Path) -> None:
    summary = rich_summary()
    summary.save(tmp_path)
    document = json.loads((tmp_path / SUMMARY).read_text())
    assert document["schema_version"] == 2
    assert leading_way(tmp_path) == "bins"
    del document["ways"], document["gain"]["way"], document["gain"]["tokens"]
    (tmp_path / SUMMARY).write_text(json.dumps(document | {"schema_version": 1}))
    old = Summary.load(tmp_path)
    assert old.gain is not None
    assert (old.gain.way, old.gain.tokens, old.ways) == ("bins", None, ())
    assert old.gain.times == summary.gain.times
    assert leading_way(tmp_path) is None, "it did not compare the ways"
    (tmp_path / SUMMARY).write_text(json.dumps(document | {"schema_version": 1, "gain": None}))
    assert Summary.load(tmp_path).gain is None
    (tmp_path / SUMMARY).write_text(json.dumps(document | {"schema_version": 3}))
    with pytest.raises(InputError, match="a newer library wrote it"):
        Summary.load(tmp_path)
    (tmp_path / SUMMARY).unlink()
    assert leading_way(tmp_path) is None


@pytest.mark.slow
def test_nothing_is_taken_from_elsewhere(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", rich_summary(), rich_table(), SETTINGS)
    text = write_report(folder, tmp_path / "r.html")[0].read_text()
    assert not re.findall(r"https?://|<script|@import|\bsrc=", text)
    # Ids are unique, and what is referred to is there.
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)
    assert set(re.findall(r'aria-labelledby="([^"]+)"', text)) <= set(ids)


@pytest.mark.slow
def test_the_same_artifact_makes_the_same_page(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", rich_summary(), rich_table(), SETTINGS)
    first = [path.read_bytes() for path in write_report(folder, tmp_path / "r.html")]
    assert [path.read_bytes() for path in write_report(folder, tmp_path / "r.html")] == first


@pytest.mark.slow
def test_a_minimal_artifact_made_from_logs(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", minimal_summary(), minimal_table())
    text = write_report(folder, tmp_path / "r.html")[0].read_text()
    assert "<h1>Majority reaches 50.0% with 1 generation per prompt</h1>" in text
    assert "No predictor was fitted" in text
    assert "made from logs" in text
    first = recommendations(Contents.load(folder), minimal_summary())[0]
    assert first.head == "Use the table in your own program"
    found: dict[str, tuple[Plan, ...]] = {}
    exec(first.command, found)
    assert found["plans"] == (Plan(strategy="best_of_n", n=1),) * 2


def test_no_curves_at_all(tmp_path: Path) -> None:
    everyone = minimal_summary().groups[0].model_copy(update={"curves": ()})
    folder = artifact(tmp_path / "a", minimal_summary(groups=(everyone,)), minimal_table())
    (page,) = write_report(folder, tmp_path / "r.html")
    assert "No method was measured" in page.read_text()


@pytest.mark.slow
def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    summary = rich_summary(source=HOSTILE, warnings=(HOSTILE,))
    everyone = summary.groups[0]
    curves = (CurveSummary(name=HOSTILE, points=everyone.curves[0].points), *everyone.curves)
    group = everyone.model_copy(update={"curves": curves, "name": HOSTILE})
    table = rich_table()
    fingerprint = table.fingerprint.model_copy(update={"answers": HOSTILE})
    folder = artifact(
        tmp_path / "a <b> 'c'",
        summary.model_copy(update={"groups": (group, *summary.groups[1:])}),
        table.model_copy(update={"fingerprint": fingerprint}),
        SETTINGS.model_copy(update={"model": HOSTILE}),
    )
    page, *figures = write_report(folder, tmp_path / "r.html")
    for path in (page, *figures):
        assert b"<script" not in path.read_bytes()
    assert page.read_text().count("&lt;script&gt;alert(1)") >= 6


@pytest.mark.parametrize(
    ("out", "hint"), [(".", "a file in a folder that exists"), ("no/r.html", "folder that exists")]
)
def test_where_no_page_can_be_written(tmp_path: Path, out: str, hint: str) -> None:
    folder = artifact(tmp_path / "a", minimal_summary(), minimal_table())
    with pytest.raises(InputError, match=hint):
        write_report(folder, tmp_path / out)


def test_an_artifact_without_summary_or_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make one with ttc calibrate"):
        write_report(tmp_path, tmp_path / "r.html")
    minimal_table().save(tmp_path / TABLE)
    with pytest.raises(InputError, match=r"no summary.json; calibrate again"):
        write_report(tmp_path, tmp_path / "r.html")
    (tmp_path / ORACLE_TABLE).write_text("{")
    with pytest.raises(InputError, match="damaged; calibrate again"):
        Contents.load(tmp_path)


def test_like_rows_of_the_table_are_joined() -> None:
    found = heat_map(rich_table())
    assert [line.budgets for line in found.lines] == ["1", "4", "8", "16 to 64"]
    assert [len(line.cells) for line in found.lines] == [1, 1, 5, 5]
    assert found.ranges == ("95–100%", "79–95%", "47–79%", "19–47%", "0–19%")


def test_rows_with_edges_of_their_own_say_so() -> None:
    plan = Plan(strategy="best_of_n", n=4)
    three = tuple(cell(plan, 0.5, 30) for _ in range(3))
    rows = (
        BudgetRow(budget=4, pilots=2, edges=(0.7, 0.2), cells=three),
        BudgetRow(budget=8, pilots=4, edges=(0.6,), cells=three[:2]),
    )
    found = heat_map(rich_table(rows=rows))
    assert found.ranges == ()
    assert [line.ranges for line in found.lines] == [
        ("70–100%", "20–70%", "0–20%"),
        ("60–100%", "0–60%"),
    ]
    assert [line.blank for line in found.lines] == [0, 1]


def test_no_two_methods_look_alike() -> None:
    names = [*METHODS, *EARLY, *(f"method {number}" for number in range(12))]
    drawn = styles(names, BASELINE, "price, stopping early")
    looks = {(s.colour, s.marker, s.dashed) for s in drawn.values()}
    assert len(looks) == len(names)
    assert [name for name in names if drawn[name].strong] == [
        BASELINE,
        "price, stopping early",
    ]
