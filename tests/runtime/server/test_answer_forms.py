"""Requests for JSON, other structured outputs and tools: what is refused, by its field's name."""

from typing import Any

import pytest

from runtime.models import Models
from runtime.server.service import Service
from tests.support.running import Run
from tests.support.serving import asked, chat, engine_of, service_of

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CHAT = chat("81+54", ttc={"budget": 1}, max_tokens=4)
COMPLETION = {"prompt": "81+54", "ttc": {"budget": 1}, "max_tokens": 4}
JSON = {"response_format": {"type": "json_object"}}
NO_ENGINE = "the engine must be vLLM"


@pytest.fixture(scope="module")
def service(transformers_models: Models) -> Service:
    return service_of(transformers_models)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        (CHAT | JSON, "response_format", NO_ENGINE),
        (COMPLETION | JSON, "response_format", NO_ENGINE),
        (CHAT | {"structured_outputs": {"regex": "1+"}}, "structured_outputs", NO_ENGINE),
        (CHAT | {"tools": [ADD], "tool_choice": "required"}, "tool_choice", NO_ENGINE),
        (CHAT | {"tools": [ADD]}, "tools", "does not show tools to the model"),
        (CHAT | {"tools": [{"type": "function"}]}, "tools[0].function", "missing"),
        (CHAT | {"tools": [{"type": "custom"}]}, "tools[0].type", "'function'"),
        (
            CHAT | {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "pattern",
        ),
        (CHAT | {"tool_choice": "required"}, "tool_choice", "there are no tools"),
        (
            CHAT
            | {"tools": [ADD]}
            | {"tool_choice": {"type": "function", "function": {"name": "sub"}}},
            "tool_choice.function.name",
            "must be one of add",
        ),
        (CHAT | JSON | {"tools": [ADD]}, "tools", "response_format leaves no room for calls"),
        (
            CHAT | JSON | {"structured_outputs": {"json_object": True}},
            "structured_outputs",
            "give one of them",
        ),
        (CHAT | {"response_format": {"type": "xml"}}, "response_format.type", "'json_object'"),
        (
            CHAT | {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "it goes with the type",
        ),
        (
            CHAT | {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            "response_format.json_schema.schema",
            "missing",
        ),
        (
            CHAT | {"structured_outputs": {"json_object": False}},
            "structured_outputs.json_object",
            "True",
        ),
        (CHAT | {"structured_outputs": {"xml": "1"}}, "structured_outputs.xml", "no such field"),
        (CHAT | {"ttc": {"tool_vote": "name"}}, "ttc.tool_vote", "there are no tools"),
        (CHAT | {"ttc": {"tool_vote": "all"}}, "ttc.tool_vote", "'call' or 'name'"),
        (COMPLETION | {"tools": [ADD]}, "tools", "no such field"),
        (chat("1+2", tool_calls=1), "tool_calls", "no such field"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(
    run: Run[Any], service: Service, body: Any, field: str, hint: str
) -> None:
    begun = engine_of(service).begun
    response = run(asked(service, body))
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, field), error
    assert hint in error["message"]
    assert engine_of(service).begun == begun


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "text"}, "structured_outputs": None},
        {"response_format": None, "tools": None, "tool_choice": None, "parallel_tool_calls": None},
        {"tools": [], "tool_choice": "auto"},
        {"tools": [ADD], "tool_choice": "none"},
    ],
)
def test_free_text_is_as_without(run: Run[Any], service: Service, fields: Any) -> None:
    plain, same = run(asked(service, CHAT)).json(), run(asked(service, CHAT | fields)).json()
    assert same["choices"] == plain["choices"]
    assert same["ttc"]["notes"] == plain["ttc"]["notes"]
