"""Recipes as a whole, their samples given: what is resumed, and what is refused."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from benchmarks.testbed.paths import BASE, REVISER
from calibration.training import classifiers, fine_tune, recipes, reviser
from calibration.training.labels import LabelledSolution
from calibration.training.recipes import (
    Source,
    orm_recipe,
    prm_recipe,
    reviser_orm_recipe,
    reviser_recipe,
)
from calibration.training.settings import (
    ChainSettings,
    LabelSettings,
    ReviserSettings,
    SampleSettings,
    TrainSettings,
    VerifierSettings,
)
from runtime.engines.base import SamplingSettings
from tests.support.fakes import StepUp

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


def never(*_: object, **__: object) -> None:
    pytest.fail("a model was trained on labels that are all alike")


@pytest.mark.parametrize("kind", ["prm", "orm", "reviser", "reviser-orm"])
@pytest.mark.parametrize(
    ("pattern", "gold", "refusal"),
    [
        (
            r"#(\d+)",
            "#3",
            r"answers: .* no sample of any prompt matched its answer; .*expected '#3', sampled '3'",
        ),
        (r"=(\d+)", "3", r"answers: .*expected '3', sampled None"),
        (r"#(\d+)", "3", r"prompts: 20: every solution of every prompt is right"),
    ],
)
def test_labels_that_are_all_alike_are_refused(
    tokenizer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    pattern: str,
    gold: str,
    refusal: str,
) -> None:
    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[StepUp]:
        yield StepUp(tokenizer)

    monkeypatch.setattr(recipes, "open_engine", opened)
    monkeypatch.setattr(classifiers, "train_verifier", never)
    monkeypatch.setattr(reviser, "train_reviser", never)
    sampling = SamplingSettings(step_end="\n", max_tokens=40)
    source = SOURCE.model_copy(update={"answers": f"pattern:{pattern}", "sampling": sampling})
    prompts = [(prompt, gold) for prompt, _ in PROMPTS]
    out, training = tmp_path / "out", VerifierSettings()
    recipe: Any = {
        "prm": lambda: prm_recipe(
            source, prompts, out, LabelSettings(samples=2, rollouts=1), training
        ),
        "orm": lambda: orm_recipe(source, prompts, out, SampleSettings(samples=2), training),
        "reviser": lambda: reviser_recipe(
            source, prompts, out, ReviserSettings(samples=2), TrainSettings()
        ),
        "reviser-orm": lambda: reviser_orm_recipe(
            source, REVISER, prompts, out, ChainSettings(chains=2, length=2), training
        ),
    }[kind]
    with pytest.raises(InputError, match=refusal):
        asyncio.run(recipe())
    assert not out.exists()
