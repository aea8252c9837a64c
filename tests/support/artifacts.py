"""An artifact calibrated on prompts of which everything is known: bent coins.

A prompt such as ``90*7`` is answered with three coins that show 1 with a chance of 0.90; right is
three ones. Easy, hard and hopeless prompts are then as many as one likes, and sampled in no time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from allocator.latency import Latency
from allocator.plan import Plan, plan_grid
from allocator.policy import Policy
from allocator.table import BudgetRow, Cell, Fingerprint
from benchmarks.testbed.paths import ARTIFACT, SETTINGS
from calibration.fitting.fit import Calibration, fit, searches_needed
from calibration.replay.replay import Replay
from calibration.sampling.collect import Work, collect
from runtime.answers import PatternAnswers
from runtime.artifact import Artifact
from runtime.engines.base import Completion
from runtime.engines.steps import StepSplitter
from runtime.models import Models
from tests.support.fakes import COIN_SETTINGS, STEPS, SumVerifier

BUDGETS, PILOTS, BINS = (1, 2, 4, 8), (1, 2), 3
RIGHT = str(STEPS)
SECONDS_EACH = 1.0  # what each generation of a plan is said to take


class BentCoins:
    """Solutions of three lines, each 1 with the chance that the prompt states in hundredths.

    Args:
        tokenizer: the testbed's.

    Attributes:
        generations: whole solutions sampled.
    """

    context_length = 64

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.generations = 0

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        seed: int,
        stop: Sequence[str] = (),
        **_: Any,
    ) -> Completion:
        await asyncio.sleep(0)
        rng = np.random.default_rng(seed)
        asked, text = self.tokenizer.decode(token_ids).split("<assistant>")
        chance = int(asked.split("<user>")[-1].split("*")[0]) / 100
        written = ""
        while not written.endswith(">") and not written.endswith(tuple(stop)):
            lines = (text + written).splitlines()
            if len(lines) < STEPS:
                written += f"{int(rng.random() < chance)}\n"
            else:
                written += f"#{sum(map(int, lines))}<end>"
        self.generations += written.endswith(">")
        ids = tuple(self.tokenizer.encode(written))
        ended = written.endswith("<end>")
        stopped_by = None if ended else next(text for text in stop if written.endswith(text))
        return Completion(ids, -0.7 * len(ids), ended=ended, stopped_by=stopped_by)

    def close(self) -> None:
        pass


def bent_models(tokenizer: Any, **changes: Any) -> Models:
    """Bent coins, and a verifier that likes ones; `changes` replace fields of theirs."""
    models = Models(
        BentCoins(tokenizer),
        SumVerifier(tokenizer),
        PatternAnswers(r"#(\d+)"),
        StepSplitter(tokenizer, "\n"),
    )
    return replace(models, **changes)


def bent_prompts(count: int, seed: int, least: int = 20, most: int = 99) -> list[str]:
    """Distinct prompts whose chances are between two hundredths."""
    rng = np.random.default_rng(seed)
    chances = rng.integers(least, most + 1, count)
    return [f"{chance}*{100 * seed + number}" for number, chance in enumerate(chances)]


def calibrated(models: Models, prompts: Sequence[str]) -> Calibration:
    """What calibration finds of prompts."""
    window, grid = max(BUDGETS), partial(plan_grid, strategies=("best_of_n",))
    searches = searches_needed(BUDGETS, PILOTS, grid)
    graded = [(prompt, RIGHT) for prompt in prompts]
    work = Work(2 * window, tuple(searches), models.scoring, seed=4)
    records = asyncio.run(collect(models, COIN_SETTINGS, graded, work))
    fingerprint = Fingerprint(model="bent", verifier="sum", answers="", sampling={})
    return fit(Replay(records, window), grid, BUDGETS, PILOTS, BINS, fingerprint)


def artifact_of(made: Calibration) -> Artifact:
    """An artifact as if it had been saved and loaded, every plan timed by what it costs."""
    plans = [plan for curves in made.curves.curves for plan in curves.plans]
    return Artifact(
        folder=ARTIFACT,
        scoring=SETTINGS.scoring,
        settings=SETTINGS.model_copy(update={"sampling": COIN_SETTINGS.sampling}),
        policy=Policy(made.table),
        difficulty={paid: known.model for paid, known in made.difficulty.items()},
        curves=made.curves,
        prices=made.gain_model.prices,
        gain_model=made.gain_model.gain_model,
        latency=Latency.of({plan.sampled: SECONDS_EACH * plan.cost(0) for plan in plans}),
        drift_baseline=made.drift_baseline,
    )


def with_row(
    artifact: Artifact, pilots: int, edges: Sequence[float], plans: list[Plan]
) -> Artifact:
    """The artifact with one row of one's own, for the top budget."""
    cells = tuple(
        Cell(plan=p, accuracy=0.5, low=0, high=1, generations=p.cost(pilots), tokens=1, prompts=9)
        for p in plans
    )
    row = BudgetRow(budget=max(BUDGETS), pilots=pilots, edges=tuple(edges), cells=cells)
    table = artifact.policy.table.model_copy(update={"rows": (row,)})
    return replace(artifact, policy=Policy(table))
