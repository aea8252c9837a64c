"""The `openai` package against the real server: what people write for OpenAI, word for word."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.serving import LONG, PROMPTS, Api, Apis

MESSAGES = [{"role": "user", "content": PROMPTS[0]}]
BUDGET = {"ttc": {"budget": 2}}


def client_of(api: Api, cls: Any = openai.OpenAI, **options: Any) -> Any:
    return cls(base_url=f"{api.url}/v1", **{"api_key": "none", "max_retries": 0} | options)


@pytest.fixture(scope="module")
def client(api: Api) -> Iterator[Any]:
    with client_of(api) as client:
        yield client


def chat(client: Any, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": "base", "messages": MESSAGES} | fields)


@pytest.mark.slow
def test_a_chat_goes_on_with_what_was_answered(client: Any) -> None:
    messages = list(MESSAGES)
    sizes = []
    for kind in ("dumped", "as it is", "dumped without nulls"):
        reply = chat(client, messages=messages, extra_body=BUDGET)
        message = reply.choices[0].message
        if kind != "as it is":
            message = message.model_dump(exclude_none="nulls" in kind)
        messages += [message, MESSAGES[0]]
        sizes.append(reply.usage.prompt_tokens)
    assert sizes == sorted(set(sizes))
    again = chat(client, messages=messages, extra_body=BUDGET)
    assert again.usage.prompt_tokens > sizes[-1]


@pytest.mark.slow
def test_a_chat_template_is_given_what_the_client_sets(client: Any) -> None:
    fields = {"chat_template_kwargs": {"enable_thinking": False}}
    answer = chat(client, extra_body=BUDGET | fields)
    assert answer.choices[0].message.content
    assert "enable_thinking" in answer.ttc["notes"][0]
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, extra_body={"chat_template_kwargs": {"chat_template": "x"}})
    assert error.value.param == "chat_template_kwargs.chat_template"


def test_a_stream_of_a_chat_says_what_the_whole_answer_says(client: Any) -> None:
    whole = chat(client, extra_body=BUDGET)
    said = ""
    for chunk in chat(client, extra_body=BUDGET, stream=True):
        said += chunk.choices[0].delta.content or ""
    assert said == whole.choices[0].message.content
    assert said.endswith(f"#{whole.choices[0].ttc['answer']}")
    assert chunk.choices[0].finish_reason == "stop"
    assert chunk.ttc["receipt"]["budget"] == 2


@pytest.mark.slow
def test_a_stream_of_a_completion_says_what_the_whole_answer_says(client: Any) -> None:
    fields = {"model": "base", "prompt": PROMPTS[1], "extra_body": BUDGET}
    whole = client.completions.create(**fields)
    stream = client.completions.create(**fields, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text != ""


@pytest.mark.slow
def test_the_async_client_asks_many_at_once_and_streams(api: Api, client: Any) -> None:
    async def asked() -> Any:
        async with client_of(api, openai.AsyncOpenAI) as other:
            *whole, stream = await asyncio.gather(
                *(chat(other, extra_body=BUDGET, messages=[{"role": "user", "content": text}])
                  for text in PROMPTS[:6]),
                chat(other, extra_body=BUDGET, stream=True),
            )  # fmt: skip
            streamed = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return [one.choices[0].message.content for one in whole], "".join(streamed)

    whole, streamed = asyncio.run(asked())
    assert streamed == whole[0] == chat(client, extra_body=BUDGET).choices[0].message.content
    assert len(set(whole)) == 6


@pytest.mark.slow
def test_the_helper_for_streams_puts_an_answer_together(client: Any) -> None:
    with client.chat.completions.stream(model="base", messages=MESSAGES) as stream:
        for _ in stream:
            pass
        whole = stream.get_final_completion()
    assert whole.choices[0].message.content == chat(client).choices[0].message.content


def test_models_are_listed_and_found(client: Any) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[:2] == ["base", "base-ttc-1"]
    assert client.models.retrieve("base-ttc-16").id in listed
    with pytest.raises(openai.NotFoundError, match="'gpt-4o': it is not served; ask for base"):
        client.models.retrieve("gpt-4o")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ({}, 8),
        ({"model": "base-ttc-2"}, 2),
        ({"extra_headers": {"X-TTC-Budget": "2"}}, 2),
        ({"extra_body": {"ttc": {"budget": 2}}}, 2),
    ],
)
def test_a_budget_is_named_by_model_header_or_body(client: Any, fields: Any, budget: Any) -> None:
    assert chat(client, **fields).ttc["receipt"]["budget"] == budget


@pytest.mark.slow
def test_choices_stop_seed_and_length_are_heeded(client: Any) -> None:
    one, other = chat(client, n=2, stop="\n", seed=3).choices
    assert (one.index, other.index) == (0, 1)
    assert "\n" not in one.message.content + other.message.content
    said = {chat(client, model="base-ttc-1", seed=seed).choices[0].message.content
            for seed in (1, 1, 2, 3)}  # fmt: skip
    assert 1 < len(said) <= 3
    for name in ("max_tokens", "max_completion_tokens"):
        short = chat(client, model="base-ttc-1", **{name: 3})
        assert short.choices[0].finish_reason == "length"
        assert short.usage.completion_tokens == 3


def test_usage_comes_whole_and_at_the_end_of_a_stream(client: Any) -> None:
    whole = chat(client).usage
    *chunks, last = chat(client, stream=True, stream_options={"include_usage": True})
    assert {chunk.usage for chunk in chunks} == {None}
    assert last.choices == []
    assert last.usage == whole
    assert whole.total_tokens == whole.prompt_tokens + whole.completion_tokens
    assert whole.prompt_tokens_details.cached_tokens <= whole.prompt_tokens


def test_a_raw_response_names_the_request(client: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(model="base", messages=MESSAGES)
    assert raw.parse().id == f"chatcmpl-{raw.headers['x-request-id']}"
    assert raw.request_id == raw.headers["x-request-id"]


TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"tools": [TOOL]}, "tools", "does not show tools to the model"),
        ({"response_format": {"type": "json_object"}}, "response_format", "must be vLLM"),
        ({"logprobs": True, "top_logprobs": 2}, "top_logprobs", "only a vLLM engine"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "must have thoughts to cap"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"n": 32, "extra_body": {"ttc": {"budget": 8}}}, "n", "more than the budget of 8"),
        ({"extra_body": {"ttc": {"budget": 512}}}, "ttc.budget", "256 generations at most"),
        ({"extra_headers": {"X-TTC-Budget": "0"}}, "X-TTC-Budget", "greater than or equal to 1"),
        ({"extra_headers": {"X-TTC-Budget": "1_0"}}, "X-TTC-Budget", "valid integer"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_cannot_be_served_is_a_bad_request(
    api: Api, client: Any, fields: Any, field: str, hint: str, stream: bool
) -> None:
    begun = api.engine.begun
    with pytest.raises(openai.BadRequestError, match=f"{field}: .*{hint}") as error:
        chat(client, **fields, stream=stream)
    assert (error.value.param, error.value.type) == (field, "invalid_request_error")
    assert error.value.request_id
    assert api.engine.begun == begun


def test_what_is_not_there_is_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="ask for base, base-ttc-1") as error:
        chat(client, model="gpt-4o")
    assert error.value.param == "model"
    with pytest.raises(openai.NotFoundError, match="/v1/responses"):
        client.responses.create(model="base", input="81+54")


@pytest.mark.slow
def test_keys_are_asked_for(apis: Apis) -> None:
    with apis.listening(api_keys=["sk-one", "sk-two"]) as api:
        for key in ("sk-one", "sk-two"):
            assert chat(client_of(api, api_key=key), extra_body=BUDGET).choices
        wrong = client_of(api, api_key="sk-three")
        for refused in (wrong.models.list, lambda: chat(wrong), lambda: chat(wrong, stream=True)):
            with pytest.raises(
                openai.AuthenticationError, match="unknown API key; ask the operator"
            ):
                refused()


@pytest.mark.slow
def test_limits_are_told_and_waited_out(apis: Apis) -> None:
    fields = {"stream": True, "extra_body": {"ttc": {"budget": 64}}, "n": 64}
    with (
        apis.listening(max_concurrent_per_key=1) as api,
        client_of(api) as client,
        chat(client, **fields) as stream,
    ):
        next(iter(stream))
        with pytest.raises(
            openai.RateLimitError, match="1 of your requests are in flight"
        ) as error:
            chat(client)
        assert error.value.response.headers["Retry-After"] == "1"
        assert error.value.type == "rate_limit_error"
        stream.close()
        assert chat(client_of(api, max_retries=3)).choices


@pytest.mark.slow
def test_a_full_server_and_a_dead_engine_are_the_servers_errors(apis: Apis) -> None:
    with apis.listening(max_concurrent=1) as api, client_of(api) as client:
        with chat(client, stream=True, n=64, model="base-ttc-64") as stream:
            next(iter(stream))
            with pytest.raises(openai.InternalServerError, match="no more fit") as error:
                chat(client)
        assert error.value.status_code == 503
    with apis.listening(last=2) as api:
        with pytest.raises(openai.InternalServerError, match="engine: it has died"):
            chat(client_of(api))
        with pytest.raises(openai.APIError, match="engine: it has died"):
            list(chat(client_of(api), stream=True))


@pytest.mark.slow
def test_a_client_that_waits_no_longer_leaves_nothing_running(api: Api, client: Any) -> None:
    fields = {"model": "base", "prompt": LONG["prompt"], "extra_body": {"ttc": LONG["ttc"]}}
    begun = api.engine.begun
    with pytest.raises(openai.APITimeoutError):
        client.completions.create(**fields, timeout=2)
    assert api.engine.begun > begun
    assert api.has_stopped()
