"""The checks that requests of the server and of all drop-ins go through."""

from typing import Any

import pytest

from allocator.errors import InputError
from runtime.engines.base import SamplingSettings
from runtime.engines.token_options import TokenOptions
from runtime.frontend.budget import RequestedBudget
from runtime.frontend.prompt_request import (
    are_token_ids,
    conversation_prompt,
    request_options,
    text_prompt,
    token_prompt,
)
from runtime.frontend.sampling_overrides import SamplingOverrides
from runtime.frontend.token_fields import TokenFields
from runtime.request import RequestSettings

CALIBRATED = SamplingSettings(temperature=1.0, top_p=0.95, max_tokens=160, step_end="\n")
TURNS = [{"role": "user", "content": "12+7"}]


def test_options_and_prompt_make_a_request(tokenizer: Any) -> None:
    options = request_options(
        CALIBRATED,
        tokenizer,
        8,
        SamplingOverrides(temperature=0.5),
        solutions=3,
        seed=-1,
        stop=["x"],
        stop_token_ids=[4],
        notes=["first"],
    )
    assert options.notes[0] == "first"
    assert "temperature is 0.5" in options.notes[1]
    request = options.request(token_prompt(tokenizer, [5, 6], "prompt"))
    assert (request.token_ids, request.solutions, request.seed) == ((5, 6), 3, 2**64 - 1)
    sampling = CALIBRATED.model_copy(update={"temperature": 0.5})
    assert request.settings == RequestSettings(sampling, ("x",), (4,))


def test_without_options_a_request_is_as_calibrated(tokenizer: Any) -> None:
    options = request_options(CALIBRATED, tokenizer, 8)
    assert (options.settings, options.notes) == (RequestSettings(CALIBRATED), ())
    assert (options.solutions, options.seed) == (1, None)


def test_errors_name_the_callers_field(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="num_return_sequences: 9: it is more than the budget"):
        request_options(
            CALIBRATED, tokenizer, 8, solutions=9, solutions_field="num_return_sequences"
        )
    with pytest.raises(InputError, match="stop_token_ids: 99999: token ids are 0 to"):
        request_options(CALIBRATED, tokenizer, 8, stop_token_ids=[99999])
    least = TokenFields(TokenOptions(min_tokens=2))
    request_options(CALIBRATED, tokenizer, 8, stop_token_ids=[4] * 113)
    request_options(CALIBRATED, tokenizer, 8, stop_token_ids=[4] * 112, tokens=least)
    with pytest.raises(InputError, match=r"stop_token_ids: 113: .*give 112 at most"):
        request_options(CALIBRATED, tokenizer, 8, stop_token_ids=[4] * 113, tokens=least)
    with pytest.raises(InputError, match="input_ids: -1: token ids are 0 to"):
        token_prompt(tokenizer, [-1], "input_ids")


def test_prompts_have_text_and_token_ids(tokenizer: Any) -> None:
    text = text_prompt(tokenizer, "12+7")
    assert (text.text, text.shown) == ("12+7", "12+7")
    ids = token_prompt(tokenizer, text.token_ids, "prompt")
    assert (ids.text, ids.token_ids, ids.shown) == ("12+7", text.token_ids, None)
    chat = conversation_prompt(tokenizer, TURNS)
    assert (chat.text, chat.shown) == ("12+7", "<user>12+7<assistant>")
    assert chat.token_ids == tuple(tokenizer.encode(chat.shown, add_special_tokens=False))


@pytest.mark.parametrize(
    ("value", "expected"), [([1], True), ([], False), ([True], False), ("1", False), ([1.0], False)]
)
def test_token_ids_are_a_list_of_integers(value: Any, expected: bool) -> None:
    assert are_token_ids(value) is expected


def test_a_default_budget_grows_with_the_solutions_and_a_given_one_does_not() -> None:
    raised = RequestedBudget().resolve(4, 6)
    assert (raised.spend.budget, raised.per_prompt) == (6, 6)
    assert raised.notes == ("the budget was 6, not 4, because 6 solutions were requested",)
    given = RequestedBudget(budget=5).resolve(4, 6)
    assert (given.per_prompt, given.notes) == (5, ())
    shared = RequestedBudget(total_budget=10).resolve(4, 1, prompts=3)
    assert (shared.per_prompt, shared.notes) == (4, ())
    in_tokens = RequestedBudget(budget_tokens=10).resolve(4, 1)
    assert (in_tokens.per_prompt, in_tokens.notes) == (None, ())
    with pytest.raises(InputError, match="a shared total allows one solution per prompt"):
        RequestedBudget(total_budget=10).resolve(4, 2)
