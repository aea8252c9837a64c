"""Collecting in this process: when the models are closed, and for what."""

import gc
import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from benchmarks.testbed.paths import BASE, REQUEST_SETTINGS, SETTINGS
from calibration.sampling.collect import PlanRun, PromptRecord, unanswered
from calibration.sampling.collectors import LocalCollector, open_collector
from runtime.engines.hidden import PromptEncoder
from runtime.models import Models
from tests.support.samples import make_sample

PROMPTS = ["12+7*3", "5-9", "3+10+11"]


@dataclass
class Stateless:
    """An engine that does not give the model's states, as vLLM's does not."""

    tokenizer: Any
    context_length: int


def test_states_that_the_engine_does_not_give_are_read_after_the_models_are_closed(
    run: Any, transformers_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = transformers_models.engine
    order = []

    load = PromptEncoder._load

    def noted(encoder: PromptEncoder) -> Any:
        order.append("loaded")
        return load(encoder)

    async def close() -> None:
        order.append("closed")

    monkeypatch.setattr(PromptEncoder, "_load", noted)
    stateless: Any = Stateless(engine.tokenizer, engine.context_length)
    models = replace(transformers_models, engine=stateless, hidden=PromptEncoder(BASE))
    found = run(LocalCollector(models, REQUEST_SETTINGS, close).states(PROMPTS))
    assert order == ["closed", "loaded"]

    own = LocalCollector(transformers_models, REQUEST_SETTINGS, close)
    given = run(own.states(PROMPTS))
    assert order == ["closed", "loaded"], "an engine that gives the states stays open"
    assert np.asarray(found) == pytest.approx(np.asarray(given), abs=1e-4)


@pytest.mark.slow
def test_no_engine_and_no_verifier_is_left_beside_the_model_that_reads_states(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read() -> Any:
        async with open_collector(SETTINGS, "vllm", None, None) as collector:
            assert isinstance(collector, LocalCollector)
            models: Any = collector._models
            weights = weakref.ref(models.verifier._backend._model)

            load = PromptEncoder._load

            def checked(encoder: PromptEncoder) -> Any:
                gc.collect()
                found.append((models.engine.alive, weights() is None))
                return load(encoder)

            monkeypatch.setattr(PromptEncoder, "_load", checked)
            assert (models.engine.alive, weights() is None) == (True, False)
            return await collector.states(PROMPTS)

    found: list[tuple[bool, bool]] = []
    assert run(read()).shape == (len(PROMPTS), 128)
    assert found == [(False, True)]


def test_the_user_is_told_of_samples_without_an_answer() -> None:
    def record(ended: bool, answer: str | None) -> PromptRecord:
        sample = replace(make_sample(answer, 0.5), ended=ended)
        return PromptRecord("1", "1", 5, PlanRun((sample,), (answer == "1",), 3), ({},))

    whole, cut, empty = record(True, "1"), record(False, None), record(True, None)
    assert [*unanswered([whole] * 9 + [cut], 160)] == []
    assert [*unanswered([whole] * 9 + [empty], 160)] == []
    assert [*unanswered([whole] * 6 + [cut] * 2 + [empty] * 2, 160)] == [
        "20% of the samples were cut off at 160 tokens; see --max-tokens",
        "25% of the samples that ended have no answer; see --answers",
    ]
    assert len([*unanswered([cut], 160)]) == 1
