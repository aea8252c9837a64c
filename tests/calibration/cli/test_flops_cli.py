"""``ttc flops``: what thinking longer costs, and where it pays."""

import re
from pathlib import Path

import pytest

from allocator.table import LookupTable
from benchmarks.testbed.paths import ARTIFACT, SETTINGS
from runtime.artifact import Artifact
from tests.support.cli import invoke, refused
from tests.support.summaries import artifact, rich_summary, rich_table


def rows(out: str) -> list[list[str]]:
    """The cells of the printed tables' rows."""
    lines = (line.strip() for line in out.splitlines())
    return [re.split(" {2,}", line) for line in lines if re.match(r"\d+ of \d+ ", line)]


def titles(out: str) -> list[str]:
    """The titles of the printed tables."""
    return [line.strip() for line in out.splitlines() if line.startswith("R = ")]


def uncounted() -> LookupTable:
    """A table whose rows know no FLOPs, as those made from logs."""
    table = rich_table()
    rows = [
        row.model_copy(
            update={"cells": tuple(c.model_copy(update={"flops": None}) for c in row.cells)}
        )
        for row in table.rows
    ]
    return table.model_copy(update={"rows": tuple(rows)})


def test_parameters_are_counted_and_the_papers_ratios_are_taken() -> None:
    status, out, message = invoke("flops", ARTIFACT, "--larger", "11293184")
    assert status == 0, message
    assert "806,656 parameters that think longer, or 11,293,184 that do not" in out
    assert titles(out) == [
        "R = 0.16: 257.8 generations, a budget of 64",
        "R = 0.79: 63.4 generations, a budget of 48",
        "R = 22: 15.8 generations, a budget of 6",
    ]
    first = rows(out)[0]
    cells = Artifact.load(ARTIFACT).policy.row(64).cells
    assert first[0] == f"1 of {len(cells)}"
    assert len(first) == 2, "nothing is known of the larger model"


def test_a_budget_fits_with_its_verifiers_flops() -> None:
    _, out, _ = invoke("flops", ARTIFACT, "--larger", 11293184)
    rows = Artifact.load(ARTIFACT).policy.table.rows
    solution = rows[0].flops
    assert solution is not None
    assert rows[0].generations == 1
    for title in titles(out):
        solutions, chosen = map(float, re.findall(r": ([0-9.]+) .* of ([0-9]+)", title)[0])
        fits = [row for row in rows if (row.flops or 0) <= solutions * solution * 1.001]
        assert max(fits, key=lambda row: row.accuracy).budget == chosen
    assert "are not counted" not in out


def test_where_flops_are_unknown_generations_are_compared(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", rich_summary(), uncounted(), SETTINGS)
    options = ("--larger", 14e6, "--parameters", 1e6, "--ratio", 22)
    status, out, message = invoke("flops", folder, *options)
    assert status == 0, message
    assert titles(out) == ["R = 22: 15.8 generations, a budget of 8"]
    assert "FLOPs of a verifier are not counted" in out


def test_the_better_one_is_told_bin_by_bin() -> None:
    table = Artifact.load(ARTIFACT).policy.table
    (cells,) = (row.cells for row in table.rows if row.budget == 48)
    assert len(cells) == 5
    # A larger model that is worse, as accurate, or better than the interval.
    equal, worse, better = "cannot be told apart", "think longer", "pretrain"
    words = (equal, worse, equal, better, worse)
    larger = [
        {equal: cell.accuracy, worse: cell.low / 2, better: (cell.high + 1) / 2}[word]
        for cell, word in zip(cells, words, strict=True)
    ]
    given = ",".join(map(str, larger))
    options = ("--larger", 11.3e6, "--ratio", "0.79", "--larger-accuracy", given)
    status, out, message = invoke("flops", ARTIFACT, *options)
    assert status == 0, message
    assert titles(out)[0].endswith("a budget of 48")
    assert [row[3] for row in rows(out)] == list(words)


def test_tokens_give_the_ratio_and_the_cost_of_pretraining() -> None:
    tokens = ("--pretraining-tokens", 1e9, "--inference-tokens", 2e9)
    status, out, _ = invoke("flops", ARTIFACT, "--larger", 3e6, "--parameters", 1e6, *tokens)
    assert status == 0
    assert titles(out)[0].startswith("R = 2: 6.0 generations")
    assert "takes 1.2e+16 FLOPs more" in out


def test_one_accuracy_is_of_all_prompts() -> None:
    policy = Artifact.load(ARTIFACT).policy
    row = policy.row(48)
    options = ("--larger", 11.3e6, "--ratio", "0.79", "--larger-accuracy")
    status, out, message = invoke("flops", ARTIFACT, *options, "0.5")
    assert status == 0, message
    (line,) = (line.split() for line in out.splitlines() if line.split()[:1] == ["all"])
    assert line[1] == f"{row.accuracy:.1%}"
    assert line[4:] == ["50.0%", "think", "longer"]


def test_a_budget_that_is_whole_is_not_rounded_down(tmp_path: Path) -> None:
    # 3.8 + 3 x 2.8 / 2 is 8, and 7.999999999999999 in floats.
    folder = artifact(tmp_path / "a", rich_summary(), uncounted(), SETTINGS)
    _, out, _ = invoke("flops", folder, "--larger", 3.8e6, "--parameters", 1e6, "--ratio", 2)
    assert titles(out) == ["R = 2: 8.0 generations, a budget of 8"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--larger", 1e5), "scale"),
        (("--larger", "inf"), "scale"),
        (("--larger", 1e7, "--ratio", 1e-320), "ratio"),
        (("--larger", 1e7, "--pretraining-tokens", -5), "pretraining_tokens"),
        (("--larger", 1e7, "--parameters", 0), "parameters"),
        (("--larger", 1e7, "--ratio", -1), "ratio"),
        (("--larger", 1e7, "--inference-tokens", 5), "pretraining_tokens"),
        (
            ("--larger", 1e7, "--ratio", 1, "--inference-tokens", 5, "--pretraining-tokens", 5),
            "ratio",
        ),
        (("--larger", 1e7, "--larger-accuracy", "a"), "larger_accuracy"),
        (("--larger", 1e7, "--larger-accuracy", "1.5"), "larger_accuracy"),
        (("--larger", 1e7, "--larger-accuracy", "0.5,0.5"), "5 bins"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: tuple[object, ...], word: str) -> None:
    assert word in refused("flops", ARTIFACT, *options)


def test_an_artifact_without_its_model_wants_the_number(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", rich_summary(), rich_table(), SETTINGS)
    (folder / "settings.json").unlink()
    assert "give --parameters" in refused("flops", folder, "--larger", 1e7)
