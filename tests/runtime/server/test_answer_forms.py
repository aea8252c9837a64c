"""Requests for JSON, other structured outputs and tools: what is refused, by its field's name."""

import json
from typing import Any

import pytest

from allocator.errors import InputError
from runtime.models import Models
from runtime.server.service import Service
from tests.support.running import Run
from tests.support.serving import asked, chat, chunks_of, engine_of, service_of
from tests.support.structured import Says, marked_tokenizer, tool, unverified

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CHAT = chat("81+54", ttc={"budget": 1}, max_tokens=4)
CHOSEN = {"type": "function", "function": {"name": "add"}}
COMPLETION = {"prompt": "81+54", "ttc": {"budget": 1}, "max_tokens": 4}
JSON = {"response_format": {"type": "json_object"}}
NO_ENGINE = "the engine must be vLLM"
ONE = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
SAME = '<tool_call>{"name": "add", "parameters": {"b": 2.0, "a": 1}}</tool_call>'
TWO = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 2}}</tool_call>'
SUB = '<tool_call>{"name": "sub", "arguments": {"a": 1, "b": 2}}</tool_call>'
TOOLS = [tool("add"), tool("sub")]


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
        (
            CHAT | {"tools": [ADD], "tool_choice": "required"},
            "tool_choice",
            f"tool_choice: 'required': {NO_ENGINE}",
        ),
        (
            CHAT | {"tools": [ADD], "tool_choice": CHOSEN},
            "tool_choice",
            f"tool_choice: 'add': {NO_ENGINE}",
        ),
        (CHAT | {"tools": [ADD]}, "tools", "does not show tools to the model; give one that does"),
        (CHAT | {"tools": [ADD]}, "tools", "on a server whose engine is vLLM, tool_choice"),
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
        (CHAT | {"ttc": {"tool_vote": "all"}}, "ttc.tool_vote", "'call', 'each' or 'name'"),
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


def said(run: Run[Any], engine: Says, **fields: Any) -> dict[str, Any]:
    """The answer to a chat with tools, of which calls are found in free text."""
    body = chat("1+2", tools=TOOLS) | {"ttc": {"budget": 8}} | fields
    answer = run(asked(service_of(unverified(engine)), body))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_calls_are_votes(run: Run[Any]) -> None:
    answer = said(run, Says(SUB, f"Let me see. {ONE}", f"#3{TWO}", SAME), n=4)
    first, *others = answer["choices"]
    assert json.loads(first["ttc"]["answer"]) == [{"name": "add", "arguments": {"a": 1, "b": 2}}]
    assert first["finish_reason"] == "tool_calls"
    (call,) = first["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "add")
    assert json.loads(call["function"]["arguments"]) == {"a": 1, "b": 2}
    answers = [choice["ttc"]["answer"] for choice in others]
    assert first["ttc"]["answer"] in answers
    assert len({first["ttc"]["answer"], *answers}) == 3
    named = [choice["message"]["content"] for choice in answer["choices"]]
    assert "Let me see. " in named
    assert "#3" in named
    ids = [choice["message"]["tool_calls"][0]["id"] for choice in answer["choices"]]
    assert len(set(ids)) == 4
    # Mistral's chat template refuses others.
    assert all(len(name) == 9 and name.isalnum() and name.isascii() for name in ids)


def test_names_alone_may_be_votes(run: Run[Any]) -> None:
    engine = Says(SUB, ONE, SUB, TWO, '<tool_call>{"name": "add", "arguments": {}}</tool_call>')
    calls = said(run, engine)["choices"][0]["message"]["tool_calls"]
    names = said(run, engine, ttc={"budget": 8, "tool_vote": "name"})
    assert calls[0]["function"]["name"] == "sub"
    assert names["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "add"


def test_each_call_may_be_a_vote(run: Run[Any]) -> None:
    def added(number: int) -> str:
        return f'<tool_call>{{"name": "add", "arguments": {{"a": {number}}}}}</tool_call>'

    # All find and add something: whole solutions with 2 and 3 have two votes each, SUB alone one.
    engine = Says(added(2) + SUB, SUB + added(2), added(3) + SUB, SUB + added(3), SUB)
    fields = {"budget": 20, "tool_vote": "each"}
    (whole,) = said(run, engine, ttc={"budget": 20})["choices"]
    first, second = said(run, engine, ttc=fields, n=2)["choices"]
    assert len(whole["message"]["tool_calls"]) == 2
    assert [call["function"]["name"] for call in first["message"]["tool_calls"]] == ["sub"]
    assert len(second["message"]["tool_calls"]) == 2


def test_an_answer_in_words_is_a_vote_too(run: Run[Any]) -> None:
    answer = said(run, Says("so #3", ONE, "then #3", "or #3"))
    (choice,) = answer["choices"]
    assert choice["ttc"]["answer"] == "3"
    assert choice["finish_reason"] == "stop"
    assert "tool_calls" not in choice["message"]
    assert "#3" in choice["message"]["content"]


def test_several_calls_stand_side_by_side_unless_one_was_allowed(run: Run[Any]) -> None:
    answer = said(run, Says(ONE + SUB))
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["add", "sub"]
    assert answer["choices"][0]["message"]["content"] is None
    one = said(run, Says(ONE + SUB), parallel_tool_calls=False)["choices"][0]["message"]
    assert [call["function"]["name"] for call in one["tool_calls"]] == ["add"]


def test_the_template_shows_the_tools_and_what_came_of_them(run: Run[Any]) -> None:
    engine = Says(ONE)
    message = said(run, engine)["choices"][0]["message"]
    told = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "3"}
    answer = said(run, engine, messages=[{"role": "user", "content": "1+2"}, message, told])
    assert answer["usage"]["prompt_tokens"] == len(engine.tokenizer.encode(engine.prompts[-1]))
    shown, called = engine.prompts[0], engine.prompts[-1].partition("<user>1+2")[2]
    assert '{"type": "function", "function": {"name": "sub", "parameters": {' in shown
    assert '{"name": "add", "arguments": {"a": 1, "b": 2}}' in called
    assert called.endswith("<tool>3<assistant>")
    none = said(run, engine, tool_choice="none")
    assert "sub" not in engine.prompts[-1]
    assert none["choices"][0]["message"]["content"] == ONE


def test_a_stream_has_the_calls_of_the_whole_answer(run: Run[Any]) -> None:
    service = service_of(unverified(Says(f"Look: {ONE}{SUB}")))
    body = chat("1+2", tools=TOOLS, ttc={"budget": 8, "progress": False})
    whole = run(asked(service, body)).json()["choices"][0]["message"]
    chunks = chunks_of(run(asked(service, body | {"stream": True})))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == whole["content"] == "Look: "
    parts = [part for delta in deltas for part in delta.get("tool_calls", ())]
    assert [part["index"] for part in parts] == [0, 0, 1, 1]
    for call, (head, tail) in zip(whole["tool_calls"], (parts[:2], parts[2:]), strict=True):
        assert head["function"] == {"name": call["function"]["name"], "arguments": ""}
        assert tail["function"] == {"arguments": call["function"]["arguments"]}
        assert {"id", "type"} <= head.keys()
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("tool_parser", "found"), [("auto", True), ("json", True), ("hermes", False)]
)
def test_how_calls_are_written_is_a_setting(run: Run[Any], tool_parser: str, found: bool) -> None:
    plain = '{"name": "add", "parameters": {"a": 1}}'
    service = service_of(unverified(Says(plain)), tool_parser=tool_parser)
    (choice,) = run(asked(service, chat("1+2", tools=TOOLS))).json()["choices"]
    assert (choice["finish_reason"] == "tool_calls") == found
    assert (choice["message"]["content"] is None) == found


MISTRAL = '[TOOL_CALLS]add[ARGS]{"a": 1, "b": 2}', '[TOOL_CALLS]add[ARGS]{"b": 2.0, "a": 1}'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool_parser", "texts"),
    [
        # Its marks are special tokens, which texts are shown without.
        ("mistral", (MISTRAL[0], "#3", MISTRAL[1], "[TOOL_CALLS]drop[ARGS]{}")),
        ("pythonic", ("[add(a=1, b=2)]", "#3", "[add(b=2, a=1)]", "[drop()]")),
    ],
)
def test_calls_in_the_syntaxes_of_vllms_parsers_are_votes(
    run: Run[Any], tool_parser: str, texts: tuple[str, ...]
) -> None:
    engine = Says(*texts)
    engine.tokenizer = marked_tokenizer()
    service = service_of(unverified(engine), tool_parser=tool_parser)
    body = chat("1+2", tools=TOOLS, n=2, ttc={"budget": 8})
    first, second = run(asked(service, body)).json()["choices"]
    (call,) = first["message"]["tool_calls"]
    assert (call["function"]["name"], first["message"]["content"]) == ("add", None)
    assert json.loads(call["function"]["arguments"]) == {"a": 1, "b": 2}
    assert (first["finish_reason"], second["finish_reason"]) == ("tool_calls", "stop")
    assert second["message"]["content"] == "#3"  # the call of an unknown tool has no answer
    (streamed,) = chunks_of(run(asked(service, body | {"n": 1, "stream": True})))[-1]["choices"]
    assert streamed["finish_reason"] == "tool_calls"


@pytest.mark.slow
def test_the_token_that_ends_a_solution_is_none_of_its_calls(run: Run[Any]) -> None:
    engine = Says(ONE.removesuffix("</tool_call>"))  # a tag may stay open at the end
    service = service_of(unverified(engine), tool_parser="qwen3_json")
    (choice,) = run(asked(service, chat("1+2", tools=TOOLS))).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.slow
def test_a_tool_parser_must_fit_the_model() -> None:
    with pytest.raises(InputError, match="could not locate the tool call token") as error:
        service_of(unverified(Says(ONE)), tool_parser="mistral")
    assert error.value.field == "tool_parser"


def test_strict_tools_need_an_engine_that_holds_to_them(run: Run[Any]) -> None:
    body = chat("1+2", tools=[tool("add", strict=True)])
    response = run(asked(service_of(unverified(Says(ONE))), body))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "tools")
    assert NO_ENGINE in response.json()["error"]["message"]
    plain = service_of(unverified(Says(ONE)), tool_parser="json")
    assert "no room for text" in run(asked(plain, body)).json()["error"]["message"]
