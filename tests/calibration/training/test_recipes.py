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


def long_solutions(tokenizer: Any) -> list[LabelledSolution]:
    """A right and six wrong solutions of each prompt, of 63 tokens."""
    before = tokenizer.encode("<user>1+1<assistant>")

    def solution(number: int, answer: str) -> LabelledSolution:
        ids = before + tokenizer.encode("9" * 60 + f"#{answer}<end>")
        right, start = [float(answer == "2")], len(before)
        return LabelledSolution(number, ids, start, [len(ids) - 1], right, start)

    return [solution(number, answer) for number in range(len(PROMPTS)) for answer in "2345670"]


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


@pytest.mark.slow
@pytest.mark.parametrize(("context", "longest"), [(64, 256), (300, 300)])
def test_chains_fill_the_context_of_their_reviser(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: int, longest: int
) -> None:
    """The base has 256 tokens of context."""

    async def labelled(*_: object, **__: object) -> list[LabelledSolution]:
        return long_solutions(tokenizer)

    async def measured(*_: object) -> list[list[LabelledSolution]]:
        return []

    trained: list[Any] = []
    monkeypatch.setattr(recipes, "_labelled", labelled)
    monkeypatch.setattr(recipes, "_chains", measured)
    monkeypatch.setattr(reviser, "train_reviser", lambda *given: trained.append(given))
    chains = ReviserSettings(samples=2, context=context)
    asyncio.run(reviser_recipe(SOURCE, PROMPTS, tmp_path / "out", chains, TrainSettings()))
    ((_, _, examples, _, asked, _),) = trained
    lengths = [len(example.token_ids) for example in examples]
    assert longest - 80 < max(lengths) <= longest
    assert asked == longest


@pytest.mark.slow
def test_a_reviser_that_is_trained_again_is_measured_anew(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def labelled(*_: object, **__: object) -> list[LabelledSolution]:
        return solutions(tokenizer)

    def train(seed: int) -> str:
        """Train a reviser; returns the journal of the chains that measured it."""
        training = TrainSettings(batch=32, max_epochs=1, learning_rate=1e-3, seed=seed)
        chains = ReviserSettings(samples=2)
        asyncio.run(reviser_recipe(source, PROMPTS, tmp_path / "out", chains, training))
        return (tmp_path / "out.chains.jsonl").read_text()

    monkeypatch.setattr(recipes, "_labelled", labelled)
    sampling = SamplingSettings(step_end="\n", max_tokens=8)
    source = SOURCE.model_copy(update={"sampling": sampling})
    first = train(seed=0)
    assert train(seed=0) == first
    second = train(seed=1)
    assert second.partition("\n")[0] != first.partition("\n")[0]
    assert second.count("\n") == first.count("\n")


def test_chains_without_room_for_attempts_are_refused(tokenizer: Any) -> None:
    labelled = long_solutions(tokenizer)
    again = [(1, 2, 3)] * len(PROMPTS)
    short = ReviserSettings(samples=2, context=128)
    refusal = r"context: 128: \d+ of \d+ chains have no room for any attempt .* raise it"
    with pytest.raises(InputError, match=refusal):
        reviser.chains_of(labelled, again, tokenizer.decode, short)


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
