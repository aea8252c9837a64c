"""Budgets in tokens: pilots that think little, a bin, and thoughts of the depth of its plan."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.table import BudgetRow, Cell, LookupTable
from calibration.fitting.token_table import TokenTable, fit_token_table
from calibration.replay.replay import Replay
from calibration.sampling.collect import Work, collect
from calibration.settings import CalibrationSettings
from predictors.token_policy import TokenPolicy
from runtime.artifact import Artifact
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver
from tests.support.thinking import SETTINGS, FindingThinker, finding_prompts, thinking_run

DEPTHS = (0, 6, None)
MODELS = thinking_run(FindingThinker()).models
PROMPTS = finding_prompts(60)


@pytest.fixture(scope="module")
def made(bent: Artifact) -> TokenTable:
    options = CalibrationSettings([4], [1], 2, 0, thinking=DEPTHS)
    work = Work(8, tuple(options.depths(4)), MODELS.scoring, seed=0)
    records = asyncio.run(collect(MODELS, SETTINGS, PROMPTS, work))
    replay = Replay(records, 4, n_jobs=1, pilot_thinking=6)
    fingerprint = bent.policy.table.fingerprint
    return fit_token_table(replay, DEPTHS, [10, 20, 40], [1, 2], 2, fingerprint)


def cell(plan: Plan) -> Cell:
    return Cell(plan=plan, accuracy=0.5, low=0.4, high=0.6, generations=1, tokens=9, prompts=3)


def solving(bent: Artifact, made: TokenTable, rows: Sequence[BudgetRow] | None = None) -> Solver:
    table = made.table
    if rows is not None:
        table = LookupTable(fingerprint=table.fingerprint, difficulty="predicted", rows=tuple(rows))
    tokens = TokenPolicy(table, made.policy.difficulty)
    sampling = bent.settings.sampling.model_copy(update={"max_tokens": 200})
    settings = bent.settings.model_copy(update={"sampling": sampling})
    return Solver(MODELS, replace(bent, tokens=tokens, settings=settings))


def solved(solver: Solver, budget_tokens: int) -> list[Result | Failure]:
    prompts = [prompt for prompt, _ in PROMPTS[:20]]
    return asyncio.run(solver.solve_all(prompts, Spend(budget_tokens=budget_tokens)))


def test_what_it_costs_is_about_the_budget(bent: Artifact, made: TokenTable) -> None:
    for row in made.table.rows:
        results = [r for r in solved(solving(bent, made), row.budget) if isinstance(r, Result)]
        assert len(results) == 20
        mean = sum(result.receipt.sampled_tokens for result in results) / len(results)
        assert mean <= 1.3 * row.budget
        assert {result.receipt.budget_tokens for result in results} == {row.budget}


def test_pilots_think_little_and_on_where_their_bin_thinks_more(
    bent: Artifact, made: TokenTable
) -> None:
    short, deep = (Plan(strategy="best_of_n", n=2, thinking=depth) for depth in (6, None))
    row = BudgetRow(
        budget=50,
        unit="tokens",
        pilots=2,
        pilot_thinking=6,
        edges=(0.0,),
        cells=(cell(deep), cell(short)),
    )
    results: list[Any] = solved(solving(bent, made, [row]), 50)
    for result in results:
        assert (result.receipt.pilots, result.receipt.bin) == (1, 1)  # surely of this bin
        assert "For 50 tokens no plan was clearly better there" in result.receipt.why
        # The bin's plan thinks to the end, which these thoughts do with five letters b.
        assert all("bbbbb" in sample.text for sample in result.ranked)
        assert result.receipt.generations == 2


def test_too_small_a_budget_is_refused(bent: Artifact, made: TokenTable) -> None:
    solver = solving(bent, made)
    with pytest.raises(InputError, match="must be at least 10 tokens"):
        solved(solver, 9)
    with pytest.raises(InputError, match="give one of"):
        asyncio.run(solver.solve(PROMPTS[0][0], 4, budget_tokens=20))
    with pytest.raises(InputError, match="several depths; calibrate with --thinking"):
        solved(Solver(MODELS, bent), 20)


def test_it_is_kept_in_a_folder_of_the_artifact(made: TokenTable, tmp_path: Path) -> None:
    assert TokenPolicy.read(tmp_path) is None
    made.policy.save(tmp_path)
    read = TokenPolicy.read(tmp_path)
    assert read is not None
    assert read.table == made.table
    assert read.difficulty.keys() == made.difficulty.keys()
