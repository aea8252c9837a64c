"""The PRM recipe: labels against values known in closed form, and a fine-tuning that learns."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.testbed.paths import BASE, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.training.prm import (
    LabelledSolution,
    LabelSettings,
    TrainSettings,
    label_prompts,
    train_prm,
)
from runtime.answers import PatternAnswers
from runtime.engine import SamplingSettings
from runtime.engines.transformers import TransformersEngine
from runtime.verifiers.token_classification import TokenClassificationPRM
from tests.fakes import CoinEngine


def test_labels_are_the_chance_to_end_correct(tokenizer: Any) -> None:
    # Three fair coins must sum to 3. After a first 1 the chance is 1/4, after two ones 1/2; after
    # any 0 it is nil; a finished solution's label is whether it is right.
    solutions = asyncio.run(
        label_prompts(
            CoinEngine(tokenizer),
            PatternAnswers(r"#(\d+)"),
            SamplingSettings(step_end="\n", max_tokens=40),
            [("1", "3")],
            LabelSettings(samples=64, rollouts=400),
        )
    )
    assert len(solutions) == 64
    expected = {"1\n": 0.25, "1\n1\n": 0.5, "1\n1\n1\n": 1.0}
    for solution in solutions:
        text = tokenizer.decode(solution.token_ids).split("<assistant>")[1]
        end_of_prompt = len(solution.token_ids) - len(tokenizer.encode(text))
        for position, label in zip(solution.positions, solution.labels, strict=True):
            prefix = tokenizer.decode(solution.token_ids[end_of_prompt : position + 1])
            if prefix.endswith("<end>"):
                assert label == float("#3" in prefix)
            else:
                assert label == pytest.approx(expected.get(prefix, 0.0), abs=0.1)


def test_labelling_the_testbed_and_training_on_it_learns(tokenizer: Any, tmp_path: Path) -> None:
    problems = [(p.text, p.answer) for p in distinct_problems("train", 120, seed=41)]

    async def label() -> list[LabelledSolution]:
        engine = TransformersEngine(BASE)
        try:
            return await label_prompts(
                engine,
                PatternAnswers(r"^#(\d+)$"),
                SETTINGS.sampling,
                problems,
                LabelSettings(samples=4, rollouts=2),
            )
        finally:
            engine.close()

    solutions = asyncio.run(label())
    assert all(0 <= label <= 1 for s in solutions for label in s.labels)
    lines: list[str] = []
    settings = TrainSettings(learning_rate=1e-3, batch=32, max_epochs=4)
    train_prm(BASE, tmp_path / "prm", solutions, settings, lines.append)
    losses = [float(line.rsplit(" ", 1)[1]) for line in lines]
    # Early stopping's own prompts: every tenth. Without features, their mean label is the best
    # that can be said, and its entropy the least loss.
    share = np.mean([label for s in solutions if s.prompt % 10 == 0 for label in s.labels])
    uninformed = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert min(losses) < uninformed

    # What was saved is a PRM that the runtime can serve.
    verifier = TokenClassificationPRM(tmp_path / "prm", tokenizer)
    prompt, step = tokenizer.encode("<user>1+1<assistant>"), tuple(tokenizer.encode("1+1=2\n"))
    (score,) = asyncio.run(verifier.score(prompt, [step]))
    verifier.close()
    assert 0 < score < 1
