"""Pools of samples on disk: each distinct solution once, read back as they were drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from benchmarks.allocation.pool import read_pool, write_pool
from calibration.sampling.collect import PlanRun, PromptRecord
from tests.support.samples import SEARCH, make_sample, record, run_of


def test_a_pool_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    right, odd = make_sample("1", 0.75), make_sample(None, 0.25, steps=((4,), (5, 6)))
    # The same solutions drawn again and again, in an order of their own.
    drawn = PlanRun((odd, right, right, odd, right), (False, True, True, False, True), 15, 0.5, 9)
    ahead = SEARCH.model_copy(update={"lookahead": 1})
    searches = {SEARCH: run_of([True, False], 3), ahead: run_of([True, True], 3)}
    first = PromptRecord("1+1", "1", 3, drawn, (searches,))
    records = [first, record("2+2", [False, True, True], False, False)]
    path = tmp_path / "pools" / "pool.parquet"
    write_pool(records, path)
    assert [p.name for p in path.parent.iterdir()] == ["pool.parquet"]

    def textless(run: PlanRun) -> PlanRun:
        samples = tuple(replace(s, text="") for s in run.samples)
        return replace(run, samples=samples)

    expected = [
        replace(
            r,
            independent=textless(r.independent),
            repeats=({plan: textless(run) for plan, run in r.repeats[0].items()},),
        )
        for r in records
    ]
    found = read_pool(path)
    assert found == expected
    samples = found[0].independent.samples
    assert samples[1] is samples[2] is samples[4], "equal solutions are one object"


def test_equal_revisions_of_different_chains_stay_apart(tmp_path: Path) -> None:
    plan = Plan(strategy="revisions", n=4, length=2)
    graded = [(0.25, 0), (0.5, 0), (0.25, 1), (0.5, 1)]
    attempts = tuple(replace(make_sample("1", s), text="", chain=chain) for s, chain in graded)
    run = PlanRun(attempts, (True,) * 4, 12, 0.5, 3)
    write_pool([replace(record("1+1", [True]), repeats=({plan: run},))], tmp_path / "p")
    assert read_pool(tmp_path / "p")[0].repeats[0][plan] == run


def test_a_pools_numbers_are_in_half_precision_but_not_scores(tmp_path: Path) -> None:
    sample = replace(make_sample("1", 1e-9, logprob=-12.3456789), step_scores=(0.123456789,))
    write_pool([PromptRecord("1", "1", 1, PlanRun((sample,), (True,), 3), ({},))], tmp_path / "p")
    (found,) = read_pool(tmp_path / "p")[0].independent.samples
    assert found.score == pytest.approx(1e-9, rel=1e-6), "a sharpened one"
    assert found.logprob == pytest.approx(-12.3456789, rel=1e-3)
    assert found.step_scores == (float(np.float16(0.123456789)),)


def test_no_pool_and_something_else(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    for name in ("absent", "other"):
        with pytest.raises(InputError, match="no pool; sample with --fresh"):
            read_pool(tmp_path / name)
