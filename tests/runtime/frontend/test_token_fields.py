"""What a caller may request of single tokens, and what is refused by its name."""

from typing import Any

import pytest

from allocator.errors import InputError
from predictors.token_logprobs import PlaceLogprobs
from runtime.engines.token_options import PLAIN, TokenOptions
from runtime.frontend.token_fields import TokenFields, bias_of, token_fields
from tests.support.fakes import CoinEngine

SIZE, MOST = 21, 5


class Reading(CoinEngine):
    """An engine that takes options of tokens."""

    max_logprobs: int = MOST
    vocabulary_size: int = SIZE

    async def text_logprobs(self, token_ids: Any, likeliest: int) -> tuple[PlaceLogprobs, ...]:
        return ()


@pytest.fixture
def reading(tokenizer: Any) -> Reading:
    return Reading(tokenizer)


def test_nothing_requested_needs_no_engine_that_takes_it(tokenizer: Any) -> None:
    assert token_fields(PLAIN, None, [CoinEngine(tokenizer)], 9) == TokenFields()


@pytest.mark.parametrize(
    ("options", "prompt", "field"),
    [
        (TokenOptions(logprobs=0), None, "top_logprobs"),
        (TokenOptions(min_tokens=2), None, "min_tokens"),
        (TokenOptions(ignore_eos=True), None, "ignore_eos"),
        (TokenOptions(priority=-1), None, "priority"),
        (TokenOptions(allowed_token_ids=(3,)), 1, "allowed_token_ids"),
        (PLAIN, 0, "prompt_logprobs"),
    ],
)
def test_another_engine_takes_none_of_it(
    tokenizer: Any, options: TokenOptions, prompt: int | None, field: str
) -> None:
    plain = CoinEngine(tokenizer)
    for engines in ([plain], [Reading(tokenizer), plain]):
        with pytest.raises(InputError, match="only a vLLM engine") as refused:
            token_fields(options, prompt, engines, 9, "top_logprobs")
        assert refused.value.field == field


@pytest.mark.parametrize(
    ("options", "prompt", "field"),
    [
        (TokenOptions(logprobs=MOST + 1), None, "logprobs"),
        (TokenOptions(logprobs=-2), None, "logprobs"),
        (TokenOptions(logprobs=-1), None, "logprobs"),  # the vocabulary is larger than MOST
        (PLAIN, MOST + 1, "prompt_logprobs"),
        (TokenOptions(min_tokens=10), None, "min_tokens"),
        (TokenOptions(min_tokens=-1), None, "min_tokens"),
        (TokenOptions(logit_bias=((SIZE, 1.0),)), None, "logit_bias"),
        (TokenOptions(allowed_token_ids=(-1,)), None, "allowed_token_ids"),
        (TokenOptions(logprob_token_ids=(SIZE,)), None, "logprob_token_ids"),
        (TokenOptions(logprobs=1, logprob_token_ids=(3, 4)), None, "logprobs"),
    ],
)
def test_what_no_engine_can_honour_is_refused_by_its_name(
    reading: Reading, options: TokenOptions, prompt: int | None, field: str
) -> None:
    with pytest.raises(InputError) as refused:
        token_fields(options, prompt, [reading], 9)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "room"),
    [("logit_bias", 1024), ("allowed_token_ids", 1024), ("logprob_token_ids", 128)],
)
def test_more_tokens_than_vllm_has_room_for_are_refused(
    reading: Reading, field: str, room: int
) -> None:
    reading.vocabulary_size = reading.max_logprobs = 2000

    def fields(count: int) -> TokenFields:
        tokens = tuple((i, 1.0) for i in range(count)) if field == "logit_bias" else range(count)
        return token_fields(TokenOptions(**{field: tuple(tokens)}), None, [reading], 9)

    assert len(getattr(fields(room).options, field)) == room
    with pytest.raises(InputError, match=f"{field}: {room + 1}: .*give {room:,} at most"):
        fields(room + 1)


def test_what_changes_the_samples_is_told(reading: Reading) -> None:
    found = token_fields(TokenOptions(min_tokens=9, ignore_eos=True), None, [reading], 9)
    assert found.notes == ("the table was calibrated without min_tokens, ignore_eos",)
    found = token_fields(TokenOptions(logprobs=MOST, priority=3), 0, [reading], 9)
    assert (found.options.logprobs, found.prompt_logprobs, found.notes) == (MOST, 0, ())
    found = token_fields(TokenOptions(logprob_token_ids=(3, 4)), None, [reading], 9)
    assert found.options.logprobs == 2


def test_the_whole_vocabulary_where_the_engine_returns_so_many(reading: Reading) -> None:
    reading.max_logprobs = SIZE
    found = token_fields(TokenOptions(logprobs=-1), -1, [reading], 9)
    assert (found.options.logprobs, found.prompt_logprobs) == (SIZE, SIZE)


def test_biases_are_read_as_vllm_reads_them() -> None:
    assert bias_of({"5": 1, 7: -200.5, "9": None}) == ((5, 1.0), (7, -100.0))
    assert bias_of(None) == ()
    with pytest.raises(InputError, match=r"logit_bias: \['x', '1.5'\]"):
        bias_of({"x": 1, "1.5": 2, "3": 4})
    with pytest.raises(InputError, match=r"logit_bias: .*must be integers"):
        bias_of({"9" * 4301: 1})  # which Python's int does not read
    for value in ("much", True, float("nan")):
        with pytest.raises(InputError, match=r"logit_bias\.3: .*finite number"):
            bias_of({"3": value})


def test_a_request_may_not_end_before_the_tokens_that_are_left() -> None:
    options = TokenOptions(min_tokens=10)
    assert [options.left(sampled, 50) for sampled in (0, 4, 10, 30)] == [10, 6, 0, 0]
    assert options.left(0, 7) == 7
