"""A tokenizer that adds a BOS token, as Llama 3's does: the model reads one, never two."""

from pathlib import Path
from typing import Any

import pytest

from runtime.dropin.vllm_prompts import conversations_of, prompts_of
from runtime.engines.base import encode_prompt
from runtime.engines.tokenizer import encode_text
from runtime.server.prompt_requests import _encoded
from runtime.verifiers.base import Context
from runtime.verifiers.families import FAMILIES
from tests.support.fakes import CoinEngine
from tests.support.tokenizers import bos_tokenizer, holed_tokenizer

TURNS = [{"role": "user", "content": "1+1"}]


@pytest.fixture(scope="module")
def bos() -> Any:
    """The tokenizer."""
    return bos_tokenizer()


def rendered(tokenizer: Any) -> str:
    return str(tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, tokenize=False))


def test_the_tokenizer_itself_doubles_it(bos: Any) -> None:
    assert rendered(bos).startswith("<bos>U:1+1")
    assert bos.encode(rendered(bos))[:3] == [0, 0, *bos.encode("U", add_special_tokens=False)]


def test_a_rendered_template_keeps_one_wherever_it_is_given_as_text(bos: Any) -> None:
    expected = tuple(bos.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False))
    assert expected.count(0) == 1
    text = rendered(bos)
    assert encode_text(bos, text) == expected
    (one,), (other,) = prompts_of(text, bos), prompts_of({"prompt": text}, bos)
    assert one.token_ids == other.token_ids == expected
    assert one.text == one.shown == text
    engine = CoinEngine(bos)
    assert _encoded(engine, text) == (text, expected)
    # And where the template is applied here.
    assert encode_prompt(engine, "1+1") == expected
    (chat,) = conversations_of(TURNS, bos)
    assert chat.token_ids == expected


def test_a_plain_text_gets_the_one_that_the_tokenizer_adds(bos: Any) -> None:
    assert encode_text(bos, "1+1") == tuple(bos.encode("1+1"))
    assert encode_text(bos, "1+1")[0] == 0
    bos_less = bos_tokenizer()
    bos_less.chat_template = None
    engine = CoinEngine(bos_less)
    for text in ("1+1", "<bos>1+1"):
        assert encode_prompt(engine, text) == tuple(bos.encode("1+1"))


def test_two_that_the_text_has_are_its_own(bos: Any) -> None:
    assert encode_text(bos, "<bos><bos>1") == tuple(bos.encode("<bos>1"))
    assert encode_text(bos, "<bos>") == (0,)
    assert encode_text(bos, "1<bos>") == tuple(bos.encode("1<bos>"))


def test_a_tokenizer_without_one_is_left_alone() -> None:
    tokenizer = holed_tokenizer()
    assert encode_text(tokenizer, "1+1") == tuple(tokenizer.encode("1+1"))
    adds_none = bos_tokenizer()
    adds_none.backend_tokenizer.post_processor = None
    assert encode_text(adds_none, "<bos><bos>1") == tuple(adds_none.encode("<bos><bos>1"))


@pytest.mark.parametrize("family", ["qwen-prm", "math-shepherd", "rlhflow"])
def test_verifiers_read_one(tokenizer: Any, family: str, tmp_path: Path) -> None:
    own = bos_tokenizer()
    own.add_special_tokens({"additional_special_tokens": ["ки", "<extra_0>"]})
    made = FAMILIES[family](own, tokenizer, tmp_path)
    steps = [tuple(tokenizer.encode("1+1=2\n")), tuple(tokenizer.encode("#2<end>"))]
    layout = made.format_input(Context("1+1", (5,)), steps)
    assert layout.token_ids.count(0) == 1
    assert len(layout.score_positions) == 2
