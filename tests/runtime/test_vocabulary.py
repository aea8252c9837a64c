"""Ids that a tokenizer has no token for: they cost their own sample at most."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForTokenClassification,
)

from allocator.errors import InputError
from allocator.plan import Plan
from calibration.calibrate import calibrate
from calibration.sampling.collect import PromptRecord
from calibration.settings import CalibrationSettings
from runtime.artifact import Artifact
from runtime.dropin.vllm_prompts import prompts_of
from runtime.engines import vllm
from runtime.engines.base import Completion, SamplingSettings
from runtime.engines.steps import StepSplitter
from runtime.engines.tokenizer import (
    decode,
    decode_solution,
    known_ids,
    token_texts,
    vocabulary_size,
)
from runtime.engines.vllm import VLLMCompletions
from runtime.reviser import Reviser
from runtime.settings import Settings
from tests.support.fakes import StepUp, SumVerifier, coin_run
from tests.support.samples import make_sample
from tests.support.tokenizers import (
    MERGED,
    byte_tokenizer,
    holed_tokenizer,
    python_tokenizer,
    spaced_tokenizer,
)

PADDED = 64  # ids of the padded model; its tokenizer has 21
SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 4,
}


def test_the_largest_id_counts_not_the_number_of_tokens() -> None:
    tokenizer = holed_tokenizer()
    assert len(tokenizer) == 16
    assert vocabulary_size(tokenizer) == 46
    texts = token_texts(tokenizer)
    assert len(texts) == 46
    assert (texts[3], texts[4], texts[45]) == ("0", "", MERGED)


def test_steps_end_at_merged_tokens_and_at_no_unknown_id() -> None:
    tokenizer = holed_tokenizer()
    first, second = tokenizer.encode("1+1=2.\n\n"), tokenizer.encode("2+2=4.\n\n#4")
    assert first[-1] == 45  # beyond the number of tokens: found all the same
    hole, above, far = 4, 50, 10**6
    solution = [*first, hole, above, *second, far]
    steps = StepSplitter(tokenizer, "\n\n").split(solution)
    assert steps == [tuple(first), (hole, above, *second[:6]), (*second[6:], far)]
    assert [decode(tokenizer, step) for step in steps] == ["1+1=2.\n\n", "2+2=4.\n\n", "#4"[1:]]
    for last in (hole, above, far):
        assert not StepSplitter(tokenizer, "\n").ends_step([*first, last])


def test_vllm_stops_at_all_tokens_that_hold_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = holed_tokenizer()
    core: Any = None
    engine = VLLMCompletions(core, tokenizer, 64)
    marks = engine._marks_of(["\n", "12", "\u00e9"])
    assert [tokenizer.decode([mark]) for mark in marks] == ["\n", MERGED]
    assert set(marks.values()) == {"\n"}
    # As many as large vocabularies have would be slower than the text.
    monkeypatch.setattr(vllm, "MAX_MARKS", 1)
    assert engine._marks_of(["\n"]) == {}


def test_a_tokenizer_in_python_decodes_what_it_knows(tmp_path: Path) -> None:
    tokenizer = python_tokenizer(tmp_path)
    ids = tokenizer.encode("12+7", add_special_tokens=False)
    above = vocabulary_size(tokenizer) + 5
    with pytest.raises(IndexError):
        tokenizer.decode([above])
    assert decode(tokenizer, [*ids, above], follows=False) == tokenizer.decode(ids)
    assert decode(tokenizer, [above]) == ""
    assert not StepSplitter(tokenizer, "7").ends_step([*ids, above])
    assert known_ids(tokenizer, [*ids, above]) == tuple(ids)


def test_what_follows_keeps_the_space_at_its_beginning() -> None:
    tokenizer = spaced_tokenizer("The", "capital", "is", "Paris")
    ids = [4, 1]
    assert tokenizer.decode(ids) == "Paris The"
    assert decode(tokenizer, ids) == " Paris The"
    assert decode(tokenizer, ids, follows=False) == "Paris The"
    assert token_texts(tokenizer)[4] == " Paris"
    (prompt,) = prompts_of({"prompt_token_ids": [1, 2, 3]}, tokenizer)
    assert prompt.text == "The capital is"
    # Every word ends a step that ends at a space.
    assert StepSplitter(tokenizer, " ").split(ids) == [(4,), (1,)]


def test_a_character_of_several_tokens_ends_a_step() -> None:
    tokenizer = byte_tokenizer()
    for end in ("\N{IDEOGRAPHIC FULL STOP}", "\N{OCTAGONAL SIGN}", "so \xe9"):
        ids = tokenizer.encode(f"ab{end}cd")
        steps = StepSplitter(tokenizer, end).split(ids)
        assert [tokenizer.decode(list(step)) for step in steps] == [f"ab{end}", "cd"]


def test_a_character_that_is_cut_off_is_no_text() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("abc\N{OCTAGONAL SIGN}")
    assert decode_solution(tokenizer, ids) == "abc\N{OCTAGONAL SIGN}"
    for cut in (1, 2, 3):
        assert decode_solution(tokenizer, ids[:-cut]) == "abc"


def test_prompt_ids_may_be_any_of_the_vocabulary() -> None:
    tokenizer = holed_tokenizer()
    (prompt,) = prompts_of({"prompt_token_ids": [3, 45]}, tokenizer)
    assert prompt.text == "0" + MERGED
    with pytest.raises(InputError, match="prompt_token_ids: 46: token ids are 0 to 45"):
        prompts_of({"prompt_token_ids": [3, 46]}, tokenizer)


def test_a_reviser_is_not_given_ids_that_it_may_not_have(tokenizer: Any) -> None:
    class Recording(StepUp):
        async def complete(self, token_ids: Sequence[int], **rest: Any) -> Completion:
            self.given = tuple(token_ids)
            return await super().complete(token_ids, **rest)

    engine = Recording(tokenizer)
    run = coin_run(tokenizer, reviser=Reviser(engine, SumVerifier(tokenizer)))
    sample = make_sample("1", 0.5, steps=[(PADDED - 1, 5, 6)])
    asyncio.run(run.revise([sample]))
    assert engine.given[: len(run.context.token_ids) + 2] == (*run.context.token_ids, 5, 6)
    assert max(engine.given) < vocabulary_size(tokenizer)


@pytest.fixture(scope="module")
def padded(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A language model with more ids than its tokenizer, and a PRM with as many as it."""
    folder = tmp_path_factory.mktemp("padded")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=PADDED, **SHAPE)).save_pretrained(folder / "base")
    config = LlamaConfig(vocab_size=len(tokenizer), num_labels=1, **SHAPE)
    LlamaForTokenClassification(config).save_pretrained(folder / "prm")
    for name in ("base", "prm"):
        tokenizer.save_pretrained(folder / name)
    return Settings(
        model=str(folder / "base"),
        verifier=str(folder / "prm"),
        answers=r"pattern:(\d)",
        sampling=SamplingSettings(max_tokens=40, step_end="\n"),
    )


@pytest.mark.slow
def test_a_calibration_survives_ids_above_the_vocabulary(
    padded: Settings, tokenizer: Any, tmp_path: Path
) -> None:
    records: list[PromptRecord | None] = []
    asyncio.run(
        calibrate(
            [(f"{number}+1", str(number % 10)) for number in range(20)],
            padded,
            tmp_path / "artifact",
            CalibrationSettings(budgets=(1, 2, 4), pilots=(1,), n_bins=1, seed=0, runs=1),
            engine="transformers",
            done=records.append,
        )
    )
    found = [record for record in records if record is not None]
    assert len(found) == 20
    search = Plan(strategy="beam_search", n=2, beam_width=2)
    for run in (found[0].independent, found[0].repeats[0][search]):
        above = [s for s in run.samples if max(s.token_ids) >= vocabulary_size(tokenizer)]
        assert above
        # The text is that of the other tokens, and the steps are where those end them.
        ids = [token for token in above[0].token_ids if token < vocabulary_size(tokenizer)]
        assert above[0].text == tokenizer.decode(ids, skip_special_tokens=True)
        assert all(0 <= score <= 1 for score in above[0].step_scores)
    assert Artifact.load(tmp_path / "artifact").settings.sampling == padded.sampling
