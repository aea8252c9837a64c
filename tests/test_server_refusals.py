"""Requests that cannot be served: refused by the field's name, and nothing ignored."""

import json

import pytest

from tests.serving import PROMPTS, asked, chat, client_of, engine_of, service_of


@pytest.fixture(scope="module")
def service(transformers_decoder):
    return service_of(transformers_decoder, max_budget=32)


COMPLETION = {"prompt": "81+54", "ttc": {"budget": 1}, "max_tokens": 4}
CHAT = chat("81+54", ttc={"budget": 1}, max_tokens=4)


@pytest.mark.parametrize(
    "body",
    [
        CHAT
        | {"user": "a", "metadata": {"a": "b"}, "store": False, "logprobs": False}
        | {"response_format": {"type": "text"}, "tools": [], "tool_choice": "none"}
        | {"stream_options": {"include_usage": True}, "parallel_tool_calls": True}
        | {"service_tier": "auto", "logit_bias": {}, "frequency_penalty": 0, "n": 1}
        | {"presence_penalty": 0.0, "repetition_penalty": 1, "max_completion_tokens": 4},
        COMPLETION | {"best_of": 1, "n": 1, "echo": False, "suffix": None, "logprobs": None},
        COMPLETION | {"stop": None, "seed": None, "temperature": None, "stream": None},
    ],
)
def test_what_changes_nothing_is_accepted(run, service, body):
    response = run(asked(service, body))
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("body", "field", "mend"),
    [
        (CHAT | {"tools": [{"type": "function"}]}, "tools", "calibrated on free text"),
        (CHAT | {"response_format": {"type": "json_object"}}, "response_format", "free text"),
        (CHAT | {"logprobs": True}, "logprobs", "not told in this version"),
        (CHAT | {"frequency_penalty": 0.5}, "frequency_penalty", "samples in pieces"),
        (CHAT | {"reasoning_effort": "low"}, "reasoning_effort", "no such field"),
        (CHAT | {"store": True}, "store", "give false"),
        (CHAT | {"max_completion_tokens": 5}, "max_completion_tokens", "give one of them"),
        (CHAT | {"ttc": {"budgets": 4}}, "ttc.budgets", "no such field"),
        (CHAT | {"ttc": {"deadline": 0}}, "ttc.deadline", "greater than 0"),
        (CHAT | {"temperature": -1}, "temperature", "greater than or equal to 0"),
        (CHAT | {"n": 2}, "n", "more than the budget of 1"),
        (CHAT | {"stop": [""]}, "stop", "not empty"),
        (CHAT | {"stop": ["a"] * 17}, "stop", "16 at most"),
        (CHAT | {"messages": []}, "messages", "at least 1 item"),
        (chat("1+2", "3"), "messages", "end with the user's turn"),
        (chat(" "), "prompt", "empty"),
        (chat("1" * 300), "prompt", "shorten it"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages.0.content",
            "parts of type 'image_url' cannot be read",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", "'user'"),
        (COMPLETION | {"logprobs": 0}, "logprobs", "not told in this version"),
        (COMPLETION | {"echo": True}, "echo", "leave it out"),
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
def test_what_cannot_be_served_is_refused_by_name(run, service, body, field, mend):
    before = engine_of(service).begun
    response = run(asked(service, body))
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == field
    assert error["message"].startswith(f"{field}: ")
    assert mend in error["message"]
    assert error["type"] == "invalid_request_error"
    assert engine_of(service).begun == before


def test_an_unknown_model_is_told_the_known_ones(run, service):
    response = run(asked(service, COMPLETION | {"model": "gpt-4o"}))
    assert response.status_code == 404
    assert "ask for base, base-ttc-1, base-ttc-2" in response.json()["error"]["message"]


def test_a_budget_in_a_header_is_a_number(run, service):
    response = run(asked(service, COMPLETION, **{"X-TTC-Budget": "much"}))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "X-TTC-Budget"


@pytest.mark.parametrize(
    ("content", "mend"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        (json.dumps({"model": "base", "prompt": "\ud800"}), "surrogate"),
    ],
)
def test_a_body_that_is_none_is_refused(run, service, content, mend):
    async def post():
        async with client_of(service) as client:
            head = {"Content-Type": "application/json"}
            return await client.post("/v1/completions", content=content, headers=head)

    response = run(post())
    assert response.status_code == 400
    assert mend in response.json()["error"]["message"]


def test_a_dead_engine_is_told_with_the_time_to_ask_again(run, transformers_decoder):
    response = run(asked(service_of(transformers_decoder, last=2), chat(PROMPTS[0])))
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "engine: it has died"
    assert int(response.headers["Retry-After"]) > 0
