"""Requests that cannot be served: refused by the field's name, and nothing ignored."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.testbed.paths import BASE
from runtime.engines.openai import OpenAIEngine
from runtime.models import Models
from runtime.server.service import Service
from tests.support.faulty_server import faulty
from tests.support.running import Run
from tests.support.serving import PROMPTS, asked, chat, client_of, engine_of, service_of
from tests.support.templates import FAULTS


@pytest.fixture(scope="module")
def service(transformers_models: Models) -> Any:
    return service_of(transformers_models, max_budget=32)


COMPLETION = {"prompt": "81+54", "ttc": {"budget": 1}, "max_tokens": 4}
CHAT = chat("81+54", ttc={"budget": 1}, max_tokens=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        CHAT
        | {"user": "a", "metadata": {"a": "b"}, "store": False, "logprobs": False}
        | {"response_format": {"type": "text"}, "tools": [], "tool_choice": "none"}
        | {"parallel_tool_calls": True, "min_tokens": 0, "ignore_eos": False, "priority": 0}
        | {"service_tier": "auto", "logit_bias": {}, "frequency_penalty": 0, "n": 1}
        | {"presence_penalty": 0.0, "repetition_penalty": 1, "max_completion_tokens": 4},
        CHAT | {"reasoning_effort": "none", "include_reasoning": False},
        CHAT | {"reasoning_effort": "high", "thinking_token_budget": -1},
        COMPLETION | {"best_of": 1, "n": 1, "echo": False, "suffix": None, "logprobs": None},
        COMPLETION | {"stop": None, "seed": None, "temperature": None, "stream": None},
        CHAT
        | {"stop": None, "tools": None, "ttc": CHAT["ttc"] | {"progress": None, "later": None}}
        | {"stream_options": {"include_usage": None, "later": None}, "stream": True}
        | {"chat_template_kwargs": None}
        | {"response_format": {"type": "text", "json_schema": None}, "logit_bias": {"5": None}}
        | {"reasoning_effort": None, "later": None, "stop_token_ids": [], "metadata": {"a": None}},
        COMPLETION | {"stop_token_ids": None, "ttc": None, "max_tokens": 1},
        COMPLETION | {"skip_special_tokens": True, "spaces_between_special_tokens": False},
    ],
)
def test_what_changes_nothing_is_accepted(run: Run[Any], service: Service, body: Any) -> None:
    response = run(asked(service, body))
    assert response.status_code == 200, response.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        (CHAT | {"logprobs": True}, "logprobs", "logprobs: True: only a vLLM engine"),
        (CHAT | {"logprobs": True, "top_logprobs": 2}, "top_logprobs", "only a vLLM engine"),
        (CHAT | {"top_logprobs": 2}, "top_logprobs", "set logprobs as well"),
        (CHAT | {"min_tokens": 2}, "min_tokens", "only a vLLM engine"),
        (CHAT | {"stream_options": {}}, "stream_options", "streams alone"),
        (CHAT | {"frequency_penalty": 0.5}, "frequency_penalty", "samples in pieces"),
        (CHAT | {"reasoning_effort": "low"}, "reasoning_effort", "must have thoughts"),
        (CHAT | {"reasoning_effort": "much"}, "reasoning_effort", "'none', 'minimal', 'low'"),
        (
            CHAT | {"chat_template_kwargs": {"reasoning_effort": "low"}},
            "chat_template_kwargs.reasoning_effort",
            "must have thoughts",
        ),
        (CHAT | {"thinking_token_budget": 9}, "thinking_token_budget", "must have thoughts"),
        (CHAT | {"thinking_token_budget": 0}, "thinking_token_budget", "must have thoughts"),
        (CHAT | {"thinking_token_budget": -2}, "thinking_token_budget", "greater than or equal"),
        (CHAT | {"thinking_token_budget": 0.5}, "thinking_token_budget", "valid integer"),
        (CHAT | {"include_reasoning": 1}, "include_reasoning", "valid boolean"),
        (COMPLETION | {"thinking_token_budget": 9}, "thinking_token_budget", "have thoughts"),
        (COMPLETION | {"reasoning_effort": "low"}, "reasoning_effort", "no such field"),
        (COMPLETION | {"include_reasoning": False}, "include_reasoning", "no such field"),
        (CHAT | {"store": True}, "store", "give false"),
        (CHAT | {"max_completion_tokens": 5}, "max_completion_tokens", "give one of them"),
        (CHAT | {"ttc": {"budgets": 4}}, "ttc.budgets", "no such field"),
        (CHAT | {"chat_template_kwargs": {"tokenize": False}}, "chat_template_kwargs.tokenize", ""),
        (CHAT | {"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages", ""),
        (CHAT | {"chat_template_kwargs": {"tools": [1]}}, "chat_template_kwargs.tools", "leave"),
        (CHAT | {"chat_template_kwargs": [1]}, "chat_template_kwargs", "valid dict"),
        (COMPLETION | {"chat_template_kwargs": {"a": 1}}, "chat_template_kwargs", "no such field"),
        (CHAT | {"logit_bias": {"5": 1.0}}, "logit_bias", "only a vLLM engine"),
        (CHAT | {"logit_bias": {"5": "x"}}, "logit_bias.5", "finite number"),
        (CHAT | {"stop_token_ids": [99999]}, "stop_token_ids", "token ids are 0 to"),
        (CHAT | {"stop_token_ids": ["4"]}, "stop_token_ids[0]", "valid integer"),
        (CHAT | {"stop_token_ids": [4] * 17}, "stop_token_ids", "at most 16"),
        (CHAT | {"max_tokens": 2**31}, "max_tokens", "less than or equal to 2147483647"),
        ({"messages": [None]}, "messages[0]", "valid dict"),
        ({"messages": None}, "messages", "missing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "missing",
        ),
        (CHAT | {"ttc": {"deadline": 0}}, "ttc.deadline", "greater than 0"),
        (CHAT | {"temperature": -1}, "temperature", "greater than or equal to 0"),
        (CHAT | {"n": 2}, "n", "more than the budget of 1"),
        (CHAT | {"stop": [""]}, "stop", "not empty"),
        (CHAT | {"stop": ["a"] * 17}, "stop", "16 at most"),
        (CHAT | {"messages": []}, "messages", "at least 1 item"),
        (chat("1+2", "3"), "messages[1].role", "end with the user's turn"),
        (chat(" "), "messages", "empty"),
        (chat("1" * 300), "prompt", "shorten it"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages[0].content[0].type",
            "'text'",
        ),
        (COMPLETION | {"logprobs": 0}, "logprobs", "only a vLLM engine"),
        (COMPLETION | {"suffix": "a"}, "suffix", "leave it out"),
        (COMPLETION | {"best_of": 4}, "best_of", "the budget says how many"),
        (COMPLETION | {"prompt": [1, 99999]}, "prompt", "token ids are 0 to"),
        (COMPLETION | {"prompt": ["1"] * 1025}, "prompt", "1024 at most"),
        (COMPLETION | {"prompt": []}, "prompt", "a text, a list of token ids"),
        (COMPLETION | {"top_k": 2**40}, "top_k", "less than or equal to 2147483647"),
        ({"prompt": "1", "model": "base-ttc-64"}, "model", "32 generations at most"),
        (COMPLETION | {"ttc": {"budget": 33}}, "ttc.budget", "32 generations at most"),
        ({}, "prompt", "missing"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    run: Run[Any], service: Service, body: Any, field: str, hint: str
) -> None:
    before = engine_of(service).begun
    response = run(asked(service, body))
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == field
    assert error["message"].startswith(f"{field}: ")
    assert hint in error["message"]
    assert error["type"] == "invalid_request_error"
    assert engine_of(service).begun == before


@pytest.mark.parametrize("model", ["gpt-4o", "base-ttc-1_0", "base-ttc-１", "base-ttc-1１"])
def test_an_unknown_model_is_told_the_known_ones(
    run: Run[Any], service: Service, model: Any
) -> None:
    response = run(asked(service, COMPLETION | {"model": model}))
    assert response.status_code == 404
    assert "ask for base, base-ttc-1, base-ttc-2" in response.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "budget", ["much", "1_0", " 16 ", "+5", "-1", "１６".encode(), "1e1", "5.0", "0", "", "0x10"]
)
def test_a_budget_in_a_header_is_a_number_in_ascii_digits(
    run: Run[Any], service: Service, budget: Any
) -> None:
    response = run(asked(service, {"prompt": "81+54"}, **{"X-TTC-Budget": budget}))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "X-TTC-Budget"
    assert run(asked(service, COMPLETION, **{"X-TTC-Budget": "016"})).status_code == 200


def test_the_live_page_reads_ascii_digits_alone(run: Run[Any], service: Service) -> None:
    async def opened(number: Any) -> Any:
        async with client_of(service) as client:
            return (await client.get("/live/state", params={"open": number})).status_code

    assert [run(opened(number)) for number in ("1", "1_0", "+1", "１")] == [200, 400, 400, 400]


@pytest.mark.slow
@pytest.mark.parametrize("template", FAULTS)
def test_a_chat_template_that_fails_is_the_answer_to_a_chat(
    run: Run[Any], transformers_models: Models, template: str
) -> None:
    service = service_of(transformers_models)
    engine = engine_of(service)
    engine.tokenizer = copy.copy(engine.tokenizer)
    engine.tokenizer.chat_template = template
    for body in (chat("1+2"), chat("1+2", "3", "4+5")):
        response = run(asked(service, body))
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "messages"
        assert "the chat template fails" in response.json()["error"]["message"]
    assert run(asked(service, COMPLETION)).status_code == 200


def test_a_model_without_a_template_takes_lone_prompts(
    run: Run[Any], transformers_models: Models
) -> None:
    service = service_of(transformers_models)
    engine = engine_of(service)
    engine.tokenizer = copy.copy(engine.tokenizer)
    engine.tokenizer.chat_template = None
    assert run(asked(service, CHAT)).status_code == 200
    for body in (chat("1+2", "3", "4+5"), CHAT | {"chat_template_kwargs": {"a": 1}}):
        response = run(asked(service, body))
        assert response.status_code == 400
        assert "the model has no chat template" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps({"model": "base", "prompt": "\ud800"}), "surrogate"),
    ],
)
def test_a_body_that_is_none_is_refused(
    run: Run[Any], service: Service, content: Any, hint: str
) -> None:
    async def post() -> Any:
        async with client_of(service) as client:
            head = {"Content-Type": "application/json"}
            return await client.post("/v1/completions", content=content, headers=head)

    response = run(post())
    assert response.status_code == 400
    assert hint in response.json()["error"]["message"]


def test_a_dead_engine_is_told_with_the_time_to_ask_again(
    run: Run[Any], transformers_models: Models
) -> None:
    response = run(asked(service_of(transformers_models, last=2), chat(PROMPTS[0])))
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "engine: it has died"
    assert int(response.headers["Retry-After"]) > 0


NUMBER = {"type": "json_schema", "json_schema": {"name": "number", "schema": {"type": "integer"}}}


@pytest.mark.slow
@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("fields", "replies", "status", "retry", "hint"),
    [
        ({}, [401], 502, "false", "engine: a server refused the request (401)"),
        ({}, [400], 502, "false", "engine: a server refused the request (400)"),
        ({"response_format": NUMBER}, [404], 502, "false", "engine: a server refused"),
        ({"response_format": NUMBER}, [422], 400, None, "response_format: "),
        ({}, [500], 502, "false", "engine: two servers failed on it; the last: status 500"),
        ({}, [503], 503, None, "engine: no answer in 5 tries; the last: status 503"),
    ],
    ids=str,
)
def test_what_the_models_servers_refuse_is_not_to_be_retried(
    run: Run[Any],
    transformers_models: Models,
    fields: Any,
    replies: list[int],
    status: int,
    retry: str | None,
    hint: str,
) -> None:
    async def refused(urls: list[str]) -> Any:
        engine = OpenAIEngine(urls, BASE)
        service = service_of(replace(transformers_models, engine=engine))
        response = await asked(service, chat("81+54", ttc={"budget": 1}) | fields)
        engine.close()
        return response

    with faulty(replies * 100, b"") as (url, _, _), faulty(replies * 100, b"") as (other, _, _):
        response = run(refused([url, other]))
    message = response.json()["error"]["message"]
    assert response.status_code == status, message
    assert hint in message
    assert response.headers.get("x-should-retry") == retry
    assert ("retry-after" in response.headers) == (status == 503)
    # Where the servers are is for the log alone.
    assert "127.0.0.1" not in response.text
