"""Log-probabilities and tokens as OpenAI's format has them, by hand."""

from dataclasses import replace
from math import inf
from types import SimpleNamespace
from typing import Any

from predictors.token_logprobs import TokenLogprob
from runtime.server.protocol import CompletionRequest
from runtime.server.token_data import (
    ChoiceTokens,
    TokenNames,
    chat_logprobs,
    lines,
    prompt_logprobs,
    text_logprobs,
)
from tests.support.samples import make_sample

SEVEN, EIGHT, END = 12, 13, 4
FIRST = {SEVEN: TokenLogprob(-0.5, 2, "7"), EIGHT: TokenLogprob(-0.25, 1, "8")}
SECOND = {END: TokenLogprob(-0.125, 1, "<end>"), SEVEN: TokenLogprob(-inf, 2, "7")}


def test_a_chat_lists_the_sampled_token_and_the_likeliest(tokenizer: Any) -> None:
    names = TokenNames(tokenizer, as_ids=False)
    first, second = chat_logprobs([SEVEN, END], [FIRST, SECOND], names, 2)["content"]
    assert (first["token"], first["logprob"], first["bytes"]) == ("7", -0.5, [55])
    assert [one["token"] for one in first["top_logprobs"]] == ["7", "8"]
    assert [one["logprob"] for one in second["top_logprobs"]] == [-0.125, -9999.0]
    (alone,) = chat_logprobs([SEVEN], [FIRST], names, 0)["content"]
    assert alone["top_logprobs"] == []


def test_a_text_lists_one_more_and_where_each_token_begins(tokenizer: Any) -> None:
    names = TokenNames(tokenizer, as_ids=False)
    found = text_logprobs([EIGHT, SEVEN, END], [None, FIRST, SECOND], names, 0, offset=3)
    assert found["tokens"] == ["8", "7", "<end>"]
    assert found["text_offset"] == [3, 4, 5]
    assert found["token_logprobs"] == [None, -0.5, -0.125]
    assert found["top_logprobs"] == [None, {"7": -0.5}, {"<end>": -0.125}]
    both = text_logprobs([SEVEN], [FIRST], names, 1)["top_logprobs"]
    assert both == [{"7": -0.5, "8": -0.25}]


def test_a_stream_that_echoes_goes_on_where_the_prompt_ended(tokenizer: Any) -> None:
    def places(*ids: int) -> Any:
        return [{token: TokenLogprob(-0.5, 1, tokenizer.decode([token]))} for token in ids]

    fields = {"model": "base", "prompt": "878", "echo": True, "logprobs": 0, "stream": True}
    prompt = SimpleNamespace(request=SimpleNamespace(token_ids=(EIGHT, SEVEN, EIGHT)))
    call: Any = SimpleNamespace(
        body=CompletionRequest(**fields), tokenizer=tokenizer, prompt_requests=[prompt]
    )
    result: Any = SimpleNamespace(prompt_logprobs=(None, *places(SEVEN, EIGHT)))
    told = ChoiceTokens(call, 0, result)
    sample = replace(
        make_sample("7", 0.5, steps=[(SEVEN, SEVEN, EIGHT)]),
        logprobs=tuple(places(SEVEN, SEVEN, EIGHT)),
    )
    first, second = told.logprobs(sample, 0, 2, whole=True), told.logprobs(sample, 2, 3)
    whole = told.logprobs(sample, whole=True)
    assert first is not None
    assert second is not None
    assert whole is not None
    assert first["text_offset"] + second["text_offset"] == whole["text_offset"]
    assert whole["text_offset"] == [0, 1, 2, 3, 4, 5]


def test_tokens_may_be_written_as_ids(tokenizer: Any) -> None:
    names = TokenNames(tokenizer, as_ids=True)
    found = text_logprobs([EIGHT, SEVEN], [None, FIRST], names, 1)
    assert found["tokens"] == ["token_id:13", "token_id:12"]
    assert found["top_logprobs"] == [None, {"token_id:12": -0.5, "token_id:13": -0.25}]


def test_a_prompts_are_by_token_id() -> None:
    found = prompt_logprobs([None, SECOND])
    assert found == [
        None,
        {
            "4": {"logprob": -0.125, "rank": 1, "decoded_token": "<end>"},
            "12": {"logprob": -9999.0, "rank": 2, "decoded_token": "7"},
        },
    ]
    assert prompt_logprobs(None) is None


def test_every_token_belongs_to_the_line_in_which_it_ends(tokenizer: Any) -> None:
    text = "12+7=19\n\n#19"
    ids = tokenizer.encode(text + "<end>")
    found = list(lines(tokenizer, text, ids))
    assert found == [("12+7=19\n", 8), ("\n", 1), ("#19", 4)]
    assert list(lines(tokenizer, "", [END])) == [("", 1)]
    # A text that was cut before a stop text: the tokens of that belong to the last line.
    assert list(lines(tokenizer, "12+7", ids)) == [("12+7", len(ids))]


class Pieces:
    """A tokenizer of which some tokens are parts of a character, or hold the ends of two lines."""

    TEXTS = (b"a", b"\xc3", b"\xa9", b"\n\n", b"b")

    def get_vocab(self) -> dict[str, int]:
        return {str(text): number for number, text in enumerate(self.TEXTS)}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return b"".join(self.TEXTS[i] for i in ids).decode("utf-8", "replace")


def test_a_character_of_several_tokens_and_a_token_of_several_lines() -> None:
    assert list(lines(Pieces(), "aé\n\nb", [0, 1, 2, 3, 4])) == [("aé\n", 4), ("\nb", 1)]
    assert list(lines(Pieces(), "é\n\n", [1, 2, 3])) == [("é\n", 3), ("\n", 0)]
