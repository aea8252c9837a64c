"""Bins, the lookup table and the policy."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from allocator import migrate
from allocator.bins import DifficultyBins, bin_of, shares_of
from allocator.errors import InputError
from allocator.plan import Plan
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable
from predictors.scoring import alone

FINGERPRINT = Fingerprint(model="m", verifier="v", answers="math", sampling={"temperature": 1.0})


def cell(n: int) -> Cell:
    plan = Plan(strategy="best_of_n", n=n)
    return Cell(
        plan=plan, accuracy=0.5, low=0.4, high=0.6, generations=n, tokens=10.0 * n, prompts=30
    )


def table() -> LookupTable:
    rows = (
        BudgetRow(budget=1, pilots=0, edges=(), cells=(cell(1),)),
        BudgetRow(budget=8, pilots=4, edges=(0.6, 0.2), cells=(cell(4), cell(8), cell(8))),
    )
    return LookupTable(fingerprint=FINGERPRINT, difficulty="predicted", rows=rows)


def test_bin_0_is_the_easiest_and_bins_are_equal_shares() -> None:
    values = np.linspace(0, 1, 1000)
    bins = DifficultyBins(5).fit(values).transform(values)
    assert bins[-1] == 0
    assert bins[0] == 4
    assert np.bincount(bins).tolist() == [200] * 5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_harder_is_never_in_an_easier_bin(values: list[float]) -> None:
    bins = DifficultyBins(5).fit(values).transform(values)
    order = np.argsort(values)
    assert np.all(np.diff(bins[order]) <= 0)


@pytest.mark.parametrize("easy", [30, 50, 70])
def test_equal_prompts_share_a_bin_and_the_edge_is_halfway_to_others(easy: int) -> None:
    values = np.repeat([0.8, 0.2], [easy, 100 - easy])
    bins = DifficultyBins(5).fit(values)
    np.testing.assert_allclose(bins.edges_, [0.5])
    assert bins.transform([0.79, 0.21]).tolist() == [0, 1]
    assert DifficultyBins(5).fit([0.8, 0.8]).edges_.tolist() == []


@pytest.mark.parametrize("bad", [[], [0.2, float("nan")], [1.5]])
def test_difficulty_outside_0_to_1_is_refused(bad: list[float]) -> None:
    with pytest.raises(InputError, match="pass_at_1"):
        DifficultyBins().fit(bad)


def test_an_edge_belongs_to_the_easier_bin() -> None:
    assert bin_of((0.6, 0.2), [0.7, 0.6, 0.59, 0.2, 0.1]).tolist() == [0, 0, 1, 1, 2]


def test_over_all_prompts_bins_count_by_their_shares() -> None:
    cells = tuple(
        cell(n).model_copy(update={"accuracy": accuracy})
        for n, accuracy in ((4, 0.9), (8, 0.5), (8, 0.1))
    )
    row = BudgetRow(budget=8, pilots=4, edges=(0.6, 0.2), cells=cells, shares=(0.5, 0.25, 0.25))
    assert row.accuracy == pytest.approx(0.45 + 0.125 + 0.025)
    assert row.generations == pytest.approx(2 + 2 + 2)
    # Files of older versions do not have the shares.
    older = BudgetRow.model_validate(row.model_dump(exclude={"shares"}))
    assert older.accuracy == pytest.approx(0.5)
    assert older.generations == pytest.approx(20 / 3)
    for shares in ((0.5, 0.5), (0.5, 0.25, 0.5)):
        with pytest.raises(ValidationError, match="one for each of 3 bins; they sum to 1"):
            BudgetRow(budget=8, pilots=4, edges=(0.6, 0.2), cells=cells, shares=shares)


def test_shares_of_bins() -> None:
    assert shares_of(np.array([0, 2, 2, 0, 0]), 4) == pytest.approx((0.6, 0, 0.4, 0))


def test_saved_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table().save(path)
    assert LookupTable.load(path) == table()
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]


def test_a_foreign_schema_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    raw = json.loads(table().model_dump_json()) | {"schema_version": 99}
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"99.*update ttc-allocator, or calibrate again"):
        LookupTable.load(path)


@pytest.mark.parametrize("version", [-1, "1", None, [1]])
def test_a_schema_version_that_never_was(tmp_path: Path, version: object) -> None:
    path = tmp_path / "table.json"
    raw = json.loads(table().model_dump_json()) | {"schema_version": version}
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match="unknown schema version; calibrate again"):
        LookupTable.load(path)


OLDEST = {
    "schema_version": 0,
    "fingerprint": {"model": "m", "verifier": "v", "answers": "math", "sampling": {"top_p": 1.0}},
    "difficulty": "predicted",
    "rows": [
        {
            "budget": 16,
            "pilots": 0,
            "edges": [],
            "cells": [
                {
                    "plan": {"strategy": "beam_search", "n": 16, "beam_width": 4},
                    "accuracy": 0.5,
                    "low": 0.4,
                    "high": 0.6,
                    "generations": 16.0,
                    "tokens": 800.0,
                    "prompts": 90,
                }
            ],
        }
    ],
}


def test_an_older_table_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(OLDEST))
    loaded = LookupTable.load(path)
    assert loaded.schema_version == 3
    assert loaded.rows[0].cells[0].plan == Plan(strategy="beam_search", n=16, beam_width=4)
    assert loaded.fingerprint.aggregation == "last"
    # What the settings of that time now say: only then does the artifact load.
    scoring = alone("last").dumped()
    del scoring["confidence"]
    assert loaded.fingerprint.scoring == scoring
    loaded.save(path)
    assert LookupTable.load(path) == loaded


def test_a_damaged_older_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    for fingerprint in ({}, {"fingerprint": None}):
        path.write_text(json.dumps({"schema_version": 0, "rows": []} | fingerprint))
        with pytest.raises(InputError, match="damaged; calibrate again"):
            LookupTable.load(path)


def test_every_older_version_has_its_step() -> None:
    assert sorted(migrate.TABLE) == list(range(LookupTable.model_fields["schema_version"].default))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}'])
def test_a_damaged_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(InputError, match="calibrate again"):
        LookupTable.load(path)


def test_a_plan_over_budget_cannot_stand_in_a_row() -> None:
    with pytest.raises(ValidationError, match="costs more than 4"):
        BudgetRow(budget=4, pilots=0, edges=(), cells=(cell(8),))
