"""Conversations: one rule for the server and the drop-ins, and chat templates that fail."""

import copy
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage
from pydantic import ValidationError

from allocator.errors import InputError
from runtime.engines.base import encode_prompt
from runtime.frontend.conversation import (
    conversation_text,
    read_messages,
    render_conversation,
    turns_of,
)
from runtime.frontend.fields import input_error
from runtime.reviser import ask_again
from runtime.server.protocol import ChatRequest
from tests.support.fakes import CoinEngine
from tests.support.templates import FAULTS
from tests.support.tokenizers import byte_tokenizer

ASK = {"role": "user", "content": "1+2"}
AGAIN = {"role": "user", "content": "4+5"}
CALL = {
    "id": "7",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
}


def answer(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "3"} | fields


def by_drop_in(messages: Any) -> list[dict[str, str]]:
    return turns_of(read_messages(messages))


def by_server(messages: Any) -> list[dict[str, str]]:
    try:
        return turns_of(ChatRequest(model="base", messages=messages).messages)
    except ValidationError as error:
        raise input_error(error.errors(include_url=False)) from None


both = pytest.mark.parametrize("turns", [by_drop_in, by_server])


@both
@pytest.mark.parametrize(
    "fields",
    [
        {"refusal": None, "annotations": None, "audio": None, "function_call": None},
        {"tool_calls": None, "name": None, "reasoning": None, "reasoning_content": None},
        {"annotations": [], "tool_calls": [], "refusal": ""},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "x"}}]},
        {"function_call": {}, "audio": {}, "images": []},
        {"provider_specific_fields": None, "thinking_blocks": None, "reasoning_items": []},
        {"provider_specific_fields": {"refusal": None}},
        {"something_of_a_later_api": None},
        ChatCompletionMessage(role="assistant", content="3").model_dump(),
    ],
    ids=str,
)
def test_an_answer_comes_back_as_it_was_sent(turns: Any, fields: dict[str, Any]) -> None:
    assert turns([ASK, answer(**fields), AGAIN]) == turns([ASK, answer(), AGAIN])


@both
@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_the_template_is_given_an_answers_reasoning(turns: Any, name: str, tokenizer: Any) -> None:
    found = turns([ASK, answer(**{name: "one and two"}), AGAIN])
    template = "{% for m in messages %}{{ m.reasoning_content }}|{{ m.reasoning }};{% endfor %}"
    assert render_conversation(tokenizer, found, template) == "|;one and two|one and two;|;"
    assert "one and two" not in conversation_text(found)
    bare = turns([ASK, {"role": "assistant", "content": None, name: "cut"}, AGAIN])
    assert bare[1]["content"] == ""


@both
@pytest.mark.parametrize(
    ("message", "field", "hint"),
    [
        (answer(tool_calls=[{"id": "1"}]), "[1].tool_calls[0].function", "it is missing"),
        (answer(content=None, tool_calls=[1]), "[1].tool_calls[0]", "valid dict"),
        (
            answer(tool_calls=[CALL | {"function": {"name": "add", "arguments": "[1]"}}]),
            "[1].tool_calls[0].function.arguments",
            "must be a JSON object",
        ),
        (answer(function_call={"name": "add"}), "[1].function_call", "give tool_calls"),
        (answer(refusal="I cannot"), "[1].refusal", "leave it out"),
        (answer(audio={"id": "1"}), "[1].audio", "only text is supported"),
        (answer(images=[{"url": "x"}]), "[1].images", "only text is supported"),
        (answer(thinking_blocks=[{"thinking": "x"}]), "[1].thinking_blocks", "leave it out"),
        (answer(provider_specific_fields={"a": 1}), "[1].provider_specific_fields", "or give {}"),
        (answer(reasoning=7), "[1].reasoning", "valid string"),
        (answer(novelty=1), "[1].novelty", "no such field"),
        (answer(name="Ann"), "[1].name", "a tool's message alone"),
        (ASK | {"name": "Ann"}, "[1].name", "a tool's message alone"),
        (ASK | {"tool_call_id": "1"}, "[1].tool_call_id", "a tool's message alone"),
        (ASK | {"reasoning": "x"}, "[1].reasoning", "only an assistant's message"),
        (ASK | {"annotations": [1]}, "[1].annotations", "only an assistant's message"),
        (ASK | {"tool_calls": [CALL]}, "[1].tool_calls", "only an assistant's message"),
        ({"role": "user"}, "[1].content", "give a text"),
        ({"role": "user", "content": None}, "[1].content", "give a text"),
        ({"role": "user", "content": 7}, "[1].content", "give a text"),
        ({"content": "1"}, "[1].role", "it is missing"),
        ({"role": "tool"}, "[1].content", "give a text"),
        ({"role": "function", "content": "1"}, "[1].role", "'user'"),
        (ASK | {"content": [{"type": "text"}]}, "[1].content[0].text", "it is missing"),
        (
            ASK | {"content": ["1", {"type": "text", "text": None}]},
            "[1].content[1].text",
            "missing",
        ),
        (ASK | {"content": [{"text": "1"}]}, "[1].content[0].type", "it is missing"),
        (ASK | {"content": [{"type": "image_url"}]}, "[1].content[0].type", "'text'"),
        (
            ASK | {"content": [{"type": "text", "text": "1", "detail": 1}]},
            "[1].content[0].detail",
            "no such field",
        ),
        (answer(), "[1].role", "end with the user's turn"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_path(
    turns: Any, message: dict[str, Any], field: str, hint: str
) -> None:
    with pytest.raises(InputError) as refused:
        turns([ASK, message])
    assert refused.value.field == f"messages{field}"
    assert hint in refused.value.hint
    assert str(refused.value).startswith(f"messages{field}: ")


@pytest.mark.slow
@pytest.mark.parametrize("field", ["content", "audio", "tool_calls", "novelty"])
def test_values_that_python_cannot_write_are_refused_too(field: str) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 10**5000, [10**5000]):
        with pytest.raises(InputError) as refused:
            by_drop_in([ASK | {field: value}])
        assert refused.value.field.startswith(f"messages[0].{field}")
        assert len(str(refused.value)) < 1000


@both
def test_the_template_is_given_calls_of_tools_and_what_came_of_them(
    turns: Any, tokenizer: Any
) -> None:
    called = ChatCompletionMessage.model_validate(answer(content=None, tool_calls=[CALL]))
    told = {"role": "tool", "tool_call_id": "7", "name": "add", "content": "3"}
    found = turns([ASK, called.model_dump(), told])
    template = (
        "{% for m in messages %}{% for call in m.tool_calls or [] %}"
        "{{ call.id }} {{ call.function.name }} {{ call.function.arguments.b }};{% endfor %}"
        "{{ m.role }} {{ m.tool_call_id }} {{ m.name }} {{ m.content }};{% endfor %}"
    )
    assert render_conversation(tokenizer, found, template) == (
        "user   1+2;7 add 2;assistant   ;tool 7 add 3;"
    )
    assert conversation_text(found) == (
        'User: 1+2\n\nAssistant: {"name": "add", "arguments": {"a": 1, "b": 2}}\n\nTool: 3'
    )


@both
def test_parts_are_joined_and_a_developer_is_the_system(turns: Any) -> None:
    part = {"type": "text", "text": "1", "cache_control": None}
    found = turns([{"role": "developer", "content": [part, "2"]}, ASK])
    assert found == [{"role": "system", "content": "1\n2"}, ASK]


@both
def test_a_conversation_without_text_is_refused(turns: Any) -> None:
    nothing: list[Any] = [[], [ASK | {"content": " "}], [ASK | {"content": []}]]
    for messages in nothing:
        with pytest.raises(InputError) as refused:
            turns(messages)
        assert refused.value.field == "messages"


@pytest.mark.parametrize(("template", "said"), FAULTS.items())
def test_a_template_that_fails_in_any_way_is_named(
    template: str, said: str, tokenizer: Any
) -> None:
    broken = copy.copy(tokenizer)
    broken.chat_template = template
    with pytest.raises(InputError, match=r"messages: \['user'\]: the chat template fails") as error:
        render_conversation(broken, [ASK])
    assert said in error.value.hint
    engine = CoinEngine(broken)
    for encode in (encode_prompt, ask_again):
        with pytest.raises(InputError, match=r"prompt: .*the chat template fails"):
            encode(engine, "1+2")


@pytest.mark.parametrize("system", ["", "Make an attempt 0 or an attempt 1.", "an attempt"])
@pytest.mark.parametrize("prompt", ["1+2", "In an attempt 0 to save, Tom buys another one."])
def test_the_same_is_asked_again_whatever_the_prompt_and_the_template_say(
    system: str, prompt: str
) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        system + "{% for m in messages %}|{{ m.role }}: {{ m.content }};{% endfor %}|assistant: "
    )
    again = tokenizer.decode(ask_again(CoinEngine(tokenizer), prompt))
    assert again == f";|user: {prompt};|assistant: "
