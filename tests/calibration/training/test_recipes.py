"""Recipes as a whole, their samples given: what is resumed, and what is refused."""

import asyncio
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from benchmarks.testbed.paths import BASE
from calibration.training import fine_tune, recipes
from calibration.training.labels import LabelledSolution
from calibration.training.recipes import Source, reviser_recipe
from calibration.training.settings import ReviserSettings, TrainSettings
from runtime.engines.base import SamplingSettings

SOURCE = Source(
    model=BASE, answers=r"pattern:#(\d+)", sampling=SamplingSettings(), engine="transformers"
)
PROMPTS = [(f"{number}+1", str(number + 1)) for number in range(20)]


def solutions(tokenizer: Any) -> list[LabelledSolution]:
    """A right and a wrong solution of each prompt."""
    found = []
    for number, (prompt, gold) in enumerate(PROMPTS):
        for answer in (gold, "0"):
            before = tokenizer.encode(f"<user>{prompt}<assistant>")
            ids = before + tokenizer.encode(f"#{answer}<end>")
            right, start = [float(answer == gold)], len(before)
            found.append(LabelledSolution(number, ids, start, [len(ids) - 1], right, start))
    return found


def test_a_reviser_that_is_being_measured_is_not_trained_again(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = fine_tune._step
    ended = True

    async def labelled(*_: object, **__: object) -> list[LabelledSolution]:
        return solutions(tokenizer)

    async def measured(*_: object) -> list[list[LabelledSolution]]:
        if ended:
            raise KeyboardInterrupt
        return []

    def counted(*arguments: Any) -> float:
        steps.append(arguments)
        return step(*arguments)

    monkeypatch.setattr(recipes, "_labelled", labelled)
    monkeypatch.setattr(recipes, "_chains", measured)
    monkeypatch.setattr(fine_tune, "_step", counted)

    def train(**changes: Any) -> int:
        """Steps of a training that is measured, or ended while it is."""
        steps.clear()
        training = TrainSettings(batch=32, max_epochs=1)
        chains = ReviserSettings(samples=2, **changes)
        recipe = reviser_recipe(SOURCE, PROMPTS, tmp_path / "out", chains, training)
        if ended:
            with pytest.raises(KeyboardInterrupt):
                asyncio.run(recipe)
        else:
            assert all(map(isnan, asyncio.run(recipe)))
        return len(steps)

    assert train() == 1
    assert train() == 0
    assert train(context=16384) == 1, "this reviser has another context"
    ended = False
    assert train(context=16384) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert train(context=16384) == 1, "what has ended well may be trained anew"
