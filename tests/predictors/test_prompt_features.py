"""Predicting from the prompt alone: its surface, the model's state, and the probe that reads it."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from allocator.errors import InputError
from benchmarks.allocation.regressors import PROBED_FEATURE_NAMES, with_probe
from benchmarks.testbed.paths import BASE, SETTINGS
from predictors.learned import DifficultyPredictor
from predictors.prompt import PROMPT_FEATURE_NAMES, PromptProbe, prompt_features
from runtime.engines import hidden
from runtime.engines.base import HasHiddenState, encode_prompt
from runtime.engines.checkpoint import parameter_count
from runtime.engines.hidden import PromptEncoder, open_hidden_states
from runtime.engines.transformers import TransformersEngine
from tests.support.fakes import CoinEngine

PROMPTS = ["12+7*3", "338*3*6", "1+1", "644-18*2-30*9"]


def feature(name: str, values: np.ndarray) -> float:
    return float(values[PROMPT_FEATURE_NAMES.index(name)])


def test_surface_features_worked_by_hand() -> None:
    values = prompt_features("Add 12 and 345.\nNow!", 4)
    assert len(values) == len(PROMPT_FEATURE_NAMES)
    assert feature("prompt_tokens", values) == 4
    assert feature("prompt_characters", values) == 20
    assert feature("prompt_words", values) == 5
    assert feature("prompt_lines", values) == 2
    assert feature("longest_word", values) == 4
    assert feature("numbers", values) == 2
    assert feature("longest_number", values) == 3
    assert feature("digit_share", values) == pytest.approx(5 / 20)
    assert feature("letter_share", values) == pytest.approx(9 / 20)
    assert feature("symbol_share", values) == pytest.approx(2 / 20)
    assert feature("character_entropy", prompt_features("abab", 1)) == pytest.approx(np.log(2))


@pytest.mark.parametrize("text", ["7", " ", "解方程 x² = 9", "\n\n", "?" * 500])
def test_any_text_has_finite_features(text: str) -> None:
    assert np.all(np.isfinite(prompt_features(text, 1)))


def test_an_empty_prompt_has_none() -> None:
    with pytest.raises(InputError, match="must not be empty"):
        prompt_features("", 1)


def in_one_go(token_ids: tuple[int, ...]) -> np.ndarray:
    """The state as transformers itself tells it, one prompt at a time."""
    model: Any = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    with torch.inference_mode():
        return np.asarray(
            model(torch.tensor([token_ids]), output_hidden_states=True).hidden_states[-1][0, -1]
        )


def test_engine_and_encoder_give_the_same_state() -> None:
    async def both() -> list[tuple[tuple[int, ...], np.ndarray, np.ndarray]]:
        engine, encoder = TransformersEngine(BASE), PromptEncoder(BASE)
        prompts = [encode_prompt(engine, text) for text in PROMPTS]
        # In one batch, prompts of several lengths, while one of them is being answered.
        answered = engine.complete(prompts[0], settings=SETTINGS.sampling, max_tokens=8, seed=1)
        found: list[Any] = await asyncio.gather(*map(engine.hidden_state, prompts), answered)
        encoded = await asyncio.gather(*map(encoder.hidden_state, prompts))
        alone = await engine.complete(prompts[0], settings=SETTINGS.sampling, max_tokens=8, seed=1)
        assert found[-1].token_ids == alone.token_ids  # states disturb no decoding
        engine.close()
        encoder.close()
        return list(zip(prompts, found, encoded, strict=False))

    for prompt, ours, encoded in asyncio.run(both()):
        assert (ours.dtype, ours.shape) == (np.float32, (128,))
        np.testing.assert_allclose(ours, encoded, atol=1e-4)
        np.testing.assert_allclose(ours, in_one_go(prompt), atol=1e-4)


def test_the_engine_itself_is_asked_where_it_can_tell(tokenizer: Any) -> None:
    engine = TransformersEngine(BASE)
    with open_hidden_states(engine, BASE) as states:
        assert states is engine
    engine.close()
    silent = CoinEngine(tokenizer)
    assert not isinstance(silent, HasHiddenState)
    with open_hidden_states(silent, BASE) as states:
        assert isinstance(states, PromptEncoder)


def test_an_encoder_is_loaded_once_only_when_asked_and_off_the_event_loop() -> None:
    loaded: list[threading.Thread] = []

    class Counted(PromptEncoder):
        def _load(self) -> Any:
            loaded.append(threading.current_thread())
            return super()._load()

    Counted(BASE).close()
    encoder = Counted(BASE)
    assert loaded == []
    ids = (5, 6, 7)

    async def twice() -> list[np.ndarray]:
        return [await encoder.hidden_state(ids), await encoder.hidden_state(ids)]

    first, second = asyncio.run(twice())
    encoder.close()
    assert len(loaded) == 1
    assert loaded[0] is not threading.main_thread()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, in_one_go(ids), atol=1e-4)


def test_an_encoder_says_what_is_wrong_when_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    encoder = PromptEncoder(tmp_path)
    with pytest.raises(InputError, match="transformers cannot load it"):
        asyncio.run(encoder.hidden_state((1,)))
    encoder.close()


@pytest.mark.parametrize(("free", "fits"), [(3.2e6, False), (4.2e6, True)])
def test_the_gpu_is_used_where_it_has_room_for_the_model_and_a_batch(
    monkeypatch: pytest.MonkeyPatch, free: float, fits: bool, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 80e9))
    assert parameter_count(BASE) == pytest.approx(0.8e6, rel=0.05)
    assert hidden._fits(BASE) is fits
    assert hidden._fits(tmp_path) is False, "nobody knows how large it is"


def states_of(prompts: int, seed: int, columns: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """States along one direction of which pass@1 changes, and pass@1."""
    rng = np.random.default_rng(seed)
    pass_at_1 = rng.beta(0.7, 0.7, prompts)
    direction = np.random.default_rng(99).normal(size=columns)
    noise = rng.normal(0, 3, (prompts, columns))
    return (np.outer(2 * pass_at_1 - 1, direction) + noise).astype(np.float32), pass_at_1


def test_the_probe_finds_the_direction() -> None:
    states, pass_at_1 = states_of(300, 0)
    fresh, truth = states_of(300, 1)
    predicted = PromptProbe().fit(states, pass_at_1).predict(fresh)
    assert predicted.shape == truth.shape
    assert np.corrcoef(predicted, truth)[0, 1] > 0.6
    assert np.all((predicted >= 0) & (predicted <= 1))


def test_columns_of_any_scale_and_constant_ones_do_no_harm() -> None:
    states, pass_at_1 = states_of(200, 0)
    scaled = np.column_stack([states * 1000, np.ones(200)])
    np.testing.assert_allclose(
        PromptProbe().fit(scaled, pass_at_1).predict(scaled),
        PromptProbe().fit(states, pass_at_1).predict(states),
        atol=1e-6,
    )


def test_the_probe_survives_saving(tmp_path: Path) -> None:
    states, pass_at_1 = states_of(100, 0)
    fitted = PromptProbe().fit(states, pass_at_1)
    path = tmp_path / "probe.safetensors"
    with pytest.raises(InputError, match="ttc calibrate"):
        PromptProbe.load(path)
    fitted.save(path)
    assert np.array_equal(PromptProbe.load(path).predict(states), fitted.predict(states))
    with pytest.raises(InputError, match="64 columns"):
        fitted.predict(states[:, :5])
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="calibrate again"):
        PromptProbe.load(path)


def test_a_probe_among_the_features_does_not_leak(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    states, pass_at_1 = rng.normal(size=(80, 200)), rng.random(80)  # noise: nothing to find
    features = np.zeros((80, len(PROMPT_FEATURE_NAMES)))
    joined, probe = with_probe(features, states, pass_at_1)
    assert joined.shape == (80, len(PROBED_FEATURE_NAMES))
    assert abs(np.corrcoef(joined[:, -1], pass_at_1)[0, 1]) < 0.4
    predictor = DifficultyPredictor(PROBED_FEATURE_NAMES).fit(joined, pass_at_1)
    new = np.column_stack([features, probe.predict(states)])
    assert predictor.predict(new).shape == (80,)
    assert set(predictor.explain(new[0])) == set(PROBED_FEATURE_NAMES)
    predictor.save(tmp_path / "predictor.txt")
    loaded = DifficultyPredictor.load(tmp_path / "predictor.txt", PROBED_FEATURE_NAMES)
    assert np.array_equal(loaded.predict(new), predictor.predict(new))
    with pytest.raises(InputError, match="other features"):
        DifficultyPredictor.load(tmp_path / "predictor.txt")
