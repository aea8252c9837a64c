"""The table in tokens, on a model that needs the longer thought the harder the prompt."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from allocator.flops import ModelSizes
from allocator.plan import Plan
from allocator.table import BudgetRow, Fingerprint
from calibration.fitting.difficulty import FittedDifficulty
from calibration.fitting.token_table import TokenTable, fit_token_table
from calibration.replay.outcomes import Outcome
from calibration.replay.replay import Replay
from calibration.sampling.collect import PromptRecord, Work, collect
from calibration.settings import CalibrationSettings
from runtime.prompt_run import PromptRun
from runtime.strategies.best_of_n import best_of_n
from tests.support.thinking import SETTINGS, FindingThinker, finding_prompts, thinking_run

DEPTHS = (0, 6, 14, None)
WINDOW = 8
FINGERPRINT = Fingerprint(model="m", verifier="none", answers="a", sampling={})


def run_of(prompt: str, seed: int = 0) -> PromptRun:
    made = thinking_run(FindingThinker(), prompt=prompt)
    made.seed = seed
    return made


@pytest.fixture(scope="module")
def records() -> list[PromptRecord]:
    models = thinking_run(FindingThinker()).models
    options = CalibrationSettings([WINDOW], [1], 3, 0, thinking=DEPTHS)
    work = Work(2 * WINDOW, tuple(options.depths(WINDOW)), models.scoring, seed=0)
    return asyncio.run(collect(models, SETTINGS, finding_prompts(60), work))


@pytest.fixture(scope="module")
def fitted(records: list[PromptRecord]) -> TokenTable:
    sizes = ModelSizes(model=3)  # and no verifier
    replay = Replay(records, WINDOW, n_jobs=1, pilot_thinking=0, sizes=sizes)
    return fit_token_table(replay, DEPTHS, [], [1, 2], 3, FINGERPRINT)


def pool(record: PromptRecord, depth: int) -> Any:
    return record.repeats[0][Plan(strategy="best_of_n", n=WINDOW, thinking=depth)]


def test_depths_are_sampled_from_the_same_thoughts(records: list[PromptRecord]) -> None:
    for record in records:
        full, capped = record.independent.samples, pool(record, 6).samples
        for deep, short in zip(full, capped, strict=False):
            assert deep.thinking is not None
            if deep.thinking <= 6:
                assert short == deep
            else:
                assert short.forced
                assert short.thinking == 6
                assert short.token_ids[:7] == deep.token_ids[:7]  # the mark, and six tokens
        assert all(sample.thinking is None for sample in pool(record, 0).samples)


def test_a_deeper_thought_is_more_often_right(records: list[PromptRecord]) -> None:
    replay = Replay(records, WINDOW, n_jobs=1)
    outcomes = [
        replay.outcome(Plan(strategy="best_of_n", n=1, thinking=depth), 0) for depth in DEPTHS
    ]
    accuracies = [outcome.correct.mean() for outcome in outcomes]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.4
    assert accuracies[-1] == 1.0
    tokens = [outcome.tokens.mean() for outcome in outcomes]
    assert tokens == sorted(tokens)


def test_a_replay_is_what_serving_does(records: list[PromptRecord]) -> None:
    """Pilots without thought remain, those that were cut off think on, and all tokens count."""
    plan = Plan(strategy="best_of_n", n=4, thinking=None)
    for record in records[:20]:
        run = run_of(record.prompt)

        async def served(run: PromptRun = run) -> tuple[list[Any], int]:
            pilots = await run.samples(0, 2, thinking=6)
            return await best_of_n(run, plan, pilots), run.cost.sampled_tokens

        samples, tokens = asyncio.run(served())
        replay = Replay([record], WINDOW, replicates=1, n_jobs=1, pilot_thinking=6)
        replayed = replay.outcome(plan, 2)
        # The seeds of thinking on are not those of thinking at once: only what follows differs.
        assert [s.thinking is not None for s in samples] == [True] * 4
        appended = 10 * len(samples)
        assert abs(replayed.tokens[0, 0] - tokens) < appended + 40


def test_short_budgets_think_little_and_long_ones_more(fitted: TokenTable) -> None:
    rows = fitted.table.rows
    assert [row.unit for row in rows] == ["tokens"] * len(rows)
    assert rows[0].cells[0].plan.thinking == 0
    deep = [cell.plan.thinking for cell in rows[-1].cells]
    assert None in deep
    for cell in (cell for row in rows for cell in row.cells):
        assert cell.flops == pytest.approx(6 * cell.tokens)
    for row in rows:
        assert max(cell.tokens for cell in row.cells) <= row.budget
    accuracies = [found.correct.mean() for found in fitted.rows]
    assert accuracies[-1] > 0.95
    assert accuracies[0] < accuracies[-1]


def test_a_budget_that_no_plan_keeps_to_is_left_out_with_a_note(
    records: list[PromptRecord], fitted: TokenTable
) -> None:
    least = fitted.table.rows[0].budget
    replay = Replay(records, WINDOW, n_jobs=1, pilot_thinking=0)

    def made(*budgets: int) -> TokenTable:
        return fit_token_table(replay, DEPTHS, budgets, [1], 3, FINGERPRINT)

    some, none = made(least // 2, least, 4 * least), made(least // 2)
    assert [row.budget for row in some.table.rows] == [least, 4 * least]
    assert f"token budgets below {least} are left out" in some.notes[0]
    assert none.notes == (f"{some.notes[0]}; as none is left, the table has budgets of its own",)
    assert [row.budget for row in none.table.rows] == [row.budget for row in fitted.table.rows]
    assert not made(least).notes


class Made:
    """Outcomes that a function gives: the accuracy and the tokens of equal parts of the prompts."""

    prompts, replicates, window, n_jobs, pilot_thinking = 4000, 1, 2, 1, None

    def __init__(self, figures: Callable[[Plan, int], list[tuple[float, float]]]) -> None:
        self.figures = figures

    def prepare(self, *_: object) -> None:
        pass

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        parts = self.figures(plan, pilots)
        size = self.prompts // len(parts)
        right = np.concatenate([np.arange(size) < size * rate for rate, _ in parts])
        tokens = np.repeat([tokens for _, tokens in parts], size)
        return Outcome(right.astype(float)[:, None], tokens[:, None], np.zeros((4000, 1)))


def test_a_negligible_gain_is_not_paid_for() -> None:
    # Two samples are right on 60 prompts that one is not, and wrong on 50 others, of 4,000.
    rates = {1: [0.0, 0.0, *[1.0] * 78], 2: [1.0, 0.2, *[1.0] * 77, 0.0]}
    made = Made(lambda plan, _: [(rate, 100 * plan.n) for rate in rates[plan.n]])
    (row,) = fit_token_table(cast(Any, made), [None], [1000], [], 1, FINGERPRINT).rows
    assert row.tokens.mean() == 100


def test_every_bin_keeps_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a pilot all prompts are right, for as many tokens on average, but the hard half for more.
    told = FittedDifficulty(1, cast(Any, None), np.repeat([0.9, 0.1], 2000), (0.5,), 0.9)
    monkeypatch.setattr("calibration.fitting.token_table.fit_difficulty", lambda *_: told)

    def table(hard: float) -> BudgetRow:
        made = Made(lambda _, pilots: [(1.0, 100), (1.0, hard)] if pilots else [(0.5, 200)] * 2)
        return fit_token_table(cast(Any, made), [None], [200], [1], 2, FINGERPRINT).table.rows[0]

    assert table(hard=200).pilots == 1
    assert table(hard=300).pilots == 0
