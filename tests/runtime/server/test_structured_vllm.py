"""The `openai` client against real vLLM: JSON and calls of tools that are held to their schemas."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai.lib import pydantic_function_tool
from pydantic import BaseModel

from runtime.engines.vllm import VLLMEngine
from runtime.models import Models
from runtime.server.service import Service
from tests.support.http_server import LoopThread
from tests.support.serving import Api, api_of, listening_on, service_of
from tests.support.structured import SUM, tiny_model, tool, unverified

pytestmark = pytest.mark.vllm

MESSAGES = [{"role": "user", "content": "1+2"}]
TOOLS = [tool("add"), tool("find")]
FORMAT = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SUM}}
START = 400.0  # seconds that vLLM may take to start on a busy machine


class Sum(BaseModel):
    """As `SUM` has it."""

    sum: Literal[1, 2]
    sure: bool


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def models(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    folder = tiny_model(tmp_path_factory.mktemp("tiny"))

    async def opened() -> Models:
        return unverified(VLLMEngine(folder, gpu_memory_utilization=0.2))

    models = loop.run(opened(), START)
    yield models
    loop.call(models.engine.close)


@pytest.fixture(scope="module")
def api(loop: LoopThread, models: Models) -> Iterator[Api]:
    with api_of(service_of(models, default_budget=8), loop) as api:
        yield api


@pytest.fixture(scope="module")
def client(api: Api) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(client: Any, **fields: Any) -> Any:
    fields = {"model": "base", "messages": MESSAGES, "max_tokens": 400} | fields
    return client.chat.completions.create(**fields)


def most(values: list[Any]) -> set[Any]:
    """The values of which there are most."""
    counts = Counter(values)
    return {value for value, count in counts.items() if count == max(counts.values())}


def test_json_is_held_to_its_schema_and_voted_on_by_value(client: Any) -> None:
    reply = chat(client, response_format=FORMAT, n=8)
    found = [Sum.model_validate_json(choice.message.content) for choice in reply.choices]
    assert len(found) == 8
    values = [(one.sum, one.sure) for one in found]
    assert len({choice.message.content for choice in reply.choices}) > len(set(values)) > 1
    votes = Counter[tuple[int, bool]]()
    for value, choice in zip(values, reply.choices, strict=True):
        votes[value] += choice.ttc["score"]
    assert values[0] == votes.most_common(1)[0][0]
    assert {choice.finish_reason for choice in reply.choices} == {"stop"}
    receipt = reply.ttc["receipt"]
    assert receipt["plan"]["strategy"] == "best_of_n"
    assert receipt["generations"] == receipt["plan"]["n"] == 8
    assert "sampled whole" in receipt["why"]
    assert any("held to response_format" in note for note in reply.ttc["notes"])
    assert reply.usage.completion_tokens == receipt["sampled_tokens"]


def test_the_clients_own_classes_are_answered(client: Any) -> None:
    fields: dict[str, Any] = {"model": "base", "messages": MESSAGES, "max_tokens": 400}
    reply = client.chat.completions.parse(**fields, response_format=Sum)
    assert isinstance(reply.choices[0].message.parsed, Sum)
    strict = pydantic_function_tool(Sum, name="add")
    called = client.chat.completions.parse(**fields, tools=[strict], tool_choice="required")
    (call, *_) = called.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Sum)


def test_a_stream_of_json_says_what_the_whole_answer_says(client: Any) -> None:
    whole = chat(client, response_format=FORMAT)
    usage = {"include_usage": True}
    *chunks, last = chat(client, response_format=FORMAT, stream=True, stream_options=usage)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == whole.choices[0].message.content
    assert last.usage == whole.usage


def test_other_forms_are_held_to(client: Any) -> None:
    fields: dict[str, Any] = {"model": "base", "prompt": "1+2", "max_tokens": 200, "n": 4}
    held: dict[str, Any] = {"structured_outputs": {"choice": ["yes", "no"]}}
    reply: Any = client.completions.create(**fields, extra_body=held)
    texts = [choice.text for choice in reply.choices]
    assert {*texts[:2]} == {"yes", "no"} == {*texts}
    assert [choice.ttc["answer"] for choice in reply.choices] == texts
    held = {"structured_outputs": {"regex": "so #[0-9]"}}
    reply = client.completions.create(**fields, extra_body=held)
    for choice in reply.choices:  # the artifact's own reading
        assert choice.text == f"so #{choice.ttc['answer']}"
    found = client.completions.create(**fields, extra_body={"response_format": FORMAT})
    assert Sum.model_validate_json(found.choices[0].text)
    free = chat(client, response_format={"type": "json_object"})
    assert isinstance(json.loads(free.choices[0].message.content), dict)


SQL = """
root ::= "SELECT " column " FROM " table
column ::= "col_1" | "col_2"
table ::= "table_1" | "table_2"
"""
TAG = {"begin": "<sum>", "content": {"type": "json_schema", "json_schema": SUM}, "end": "</sum>"}
TAGGED = json.dumps({"type": "structural_tag", "format": {"type": "tag"} | TAG})


@pytest.mark.parametrize(
    ("held", "pattern"),
    [
        ({"grammar": SQL}, r"SELECT col_([12]) FROM table_[12]"),
        ({"structural_tag": TAGGED}, r"<sum>(\{.*\})</sum>"),
        ({"regex": r"([1-9]|1[0-9])\.[0-9]{2}"}, r"([1-9]|1[0-9])\.[0-9]{2}"),
    ],
)
def test_every_choice_of_a_stream_is_held_to_its_form(client: Any, held: Any, pattern: str) -> None:
    fields = {"n": 3, "seed": 7, "extra_body": {"structured_outputs": held}}
    whole = [choice.message.content for choice in chat(client, **fields).choices]
    assert all(re.fullmatch(pattern, text, re.DOTALL) for text in whole)
    streamed = ["", "", ""]
    for chunk in chat(client, stream=True, **fields):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == whole


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("required", {"add", "find"}),
        ({"type": "function", "function": {"name": "find"}}, {"find"}),
    ],
)
def test_calls_are_made_where_they_must_be(client: Any, choice: Any, names: set[str]) -> None:
    reply = chat(client, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False, n=8)
    values = []
    for each in reply.choices:
        assert (each.finish_reason, each.message.content) == ("tool_calls", None)
        (call,) = each.message.tool_calls
        assert call.function.name in names
        found = Sum.model_validate_json(call.function.arguments)
        values.append((call.function.name, found.sum, found.sure))
    assert values[0] in most(values)
    assert {name for name, *_ in values} == names
    ids = {each.message.tool_calls[0].id for each in reply.choices}
    assert len(ids) == 8


def test_votes_on_the_name_alone_are_fewer(client: Any) -> None:
    fields = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "n": 8}
    reply = chat(client, **fields, extra_body={"ttc": {"tool_vote": "name"}})
    names = [each.message.tool_calls[0].function.name for each in reply.choices]
    assert names[0] in most(names)
    assert len({each.ttc["answer"] for each in reply.choices}) == len({*names}) == 2


def test_a_stream_of_calls_is_put_together_by_the_client(client: Any) -> None:
    fields: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"}
    whole = chat(client, **fields).choices[0]
    with client.chat.completions.stream(
        model="base", messages=MESSAGES, max_tokens=400, **fields
    ) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion().choices[0]
    assert streamed.finish_reason == whole.finish_reason == "tool_calls"
    one, other = (
        [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
        for choice in (streamed, whole)
    )
    assert one == other


def test_a_conversation_goes_on_with_a_call(client: Any) -> None:
    fields: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"}
    message = chat(client, **fields, parallel_tool_calls=False).choices[0].message
    told = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "3"}
    for sent in (message, message.model_dump(), message.model_dump(exclude_none=True)):
        again = chat(client, tools=TOOLS, messages=[*MESSAGES, sent, told], max_tokens=20)
        assert again.choices[0].finish_reason in ("stop", "length")


def test_strict_tools_may_be_left_alone(client: Any) -> None:
    tools = [pydantic_function_tool(Sum, name="add")]
    reply = chat(client, tools=tools, max_tokens=50)
    assert any("held to tools" in note for note in reply.ttc["notes"])
    assert reply.choices[0].message.tool_calls is None
    assert reply.ttc["receipt"]["plan"]["strategy"] == "best_of_n"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (
            {"response_format": FORMAT | {"json_schema": {"name": "a", "schema": {"type": "x"}}}},
            "response_format",
        ),
        ({"extra_body": {"structured_outputs": {"regex": "("}}}, "structured_outputs"),
        ({"extra_body": {"structured_outputs": {"json": {}, "regex": "1"}}}, "structured_outputs"),
        ({"extra_body": {"structured_outputs": {}}}, "structured_outputs"),
        (
            {"tools": [tool("add", parameters={"type": "x"})], "tool_choice": "required"},
            "tool_choice",
        ),
    ],
)
def test_what_vllm_cannot_hold_is_a_bad_request(
    api: Api, client: Any, fields: Any, field: str
) -> None:
    begun = api.engine.begun
    with pytest.raises(openai.BadRequestError, match="vLLM refused it") as error:
        chat(client, **fields)
    assert error.value.param == field
    assert api.engine.begun == begun


def test_calls_may_be_written_as_plain_json(loop: LoopThread, models: Models) -> None:
    service: Service = service_of(models, default_budget=8, tool_parser="json")
    with loop.entered(listening_on(service)) as port:
        url = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            choice = chat(client, tools=TOOLS, tool_choice="required").choices[0]
    assert choice.finish_reason == "tool_calls"
    assert Sum.model_validate_json(choice.message.tool_calls[0].function.arguments)


def test_calls_are_held_to_the_models_own_syntax(loop: LoopThread, models: Models) -> None:
    service: Service = service_of(models, default_budget=8, tool_parser="qwen3_coder")
    fields: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required", "n": 4}
    with loop.entered(listening_on(service)) as port:
        url = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            reply = chat(client, **fields, parallel_tool_calls=False)
    for choice in reply.choices:
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert call.function.name in ("add", "find")
        assert Sum.model_validate_json(call.function.arguments)
