"""Calls of tools in the syntaxes that vLLM's own tool parsers read."""

import json
import sys
from typing import Any

import pytest

from allocator.errors import InputError
from runtime.answers.calls import CallParser
from runtime.frontend.answer_form import AnswerForm
from runtime.frontend.call_syntax import call_syntax, check_tool_parser
from runtime.frontend.tool_fields import ToolName, ToolRequest, read_tools
from runtime.frontend.tools import tools_form
from runtime.server.settings import read_settings
from tests.support.structured import WITH_TOOLS, marked_tokenizer, tool, tooled_tokenizer

pytestmark = pytest.mark.slow

TOOLS = tuple(read_tools([tool("add"), tool("find")]))
ARGUMENTS = {"sum": 1, "sure": True}
JSON = json.dumps(ARGUMENTS)
XML = "<parameter=sum>\n1\n</parameter>\n<parameter=sure>\ntrue\n</parameter>\n"
NAMED: Any = {"type": "function", "function": {"name": "find"}}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Has the special tokens with which several families mark calls."""
    return marked_tokenizer()


def form_of(name: str, tokenizer: Any, **fields: Any) -> AnswerForm:
    request = ToolRequest(**{"tools": TOOLS} | fields)
    return tools_form(request, WITH_TOOLS, call_syntax(name, tokenizer))


def calls_in(form: AnswerForm, text: str) -> tuple[str, list[tuple[str, Any]]]:
    assert form.calls is not None
    before, calls = CallParser(form.calls).parse(text)
    return before, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("name", "text", "before"),
    [
        ("pythonic", "[add(sum=1, sure=True), find(sum=1, sure=True)]", ""),
        (
            "llama3_json",
            f'<|python_tag|>{{"name": "add", "parameters": {JSON}}}; '
            f'{{"name": "find", "parameters": {JSON}}}',
            "",
        ),
        ("mistral", f"So:[TOOL_CALLS]add[ARGS]{JSON}[TOOL_CALLS]find[ARGS]{JSON}", "So:"),
        (
            "qwen3_coder",
            f"So:<tool_call>\n<function=add>\n{XML}</function>\n</tool_call>\n"
            f"<tool_call>\n<function=find>\n{XML}</function>\n</tool_call>",
            "So:",
        ),
        (
            "deepseek_v3",
            "So:<｜tool▁calls▁begin｜>"
            f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{JSON}\n```<｜tool▁call▁end｜>\n"
            f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>find\n```json\n{JSON}\n```<｜tool▁call▁end｜>"
            "<｜tool▁calls▁end｜>",
            "So:",
        ),
        (
            "qwen3_json",
            f'So:<tool_call>{{"name": "add", "arguments": {JSON}}}</tool_call>'
            f'<tool_call>{{"name": "find", "arguments": {JSON}}}</tool_call>',
            "So:",
        ),
        (
            "glm45",
            "".join(
                f"<tool_call>{name}\n<arg_key>sum</arg_key>\n<arg_value>1</arg_value>\n"
                "<arg_key>sure</arg_key>\n<arg_value>true</arg_value>\n</tool_call>"
                for name in ("add", "find")
            ),
            "",
        ),
    ],
)
def test_calls_are_read_by_vllms_own_parsers(
    tokenizer: Any, name: str, text: str, before: str
) -> None:
    form = form_of(name, tokenizer)
    assert form.constraint is None
    both = (before, [("add", ARGUMENTS), ("find", ARGUMENTS)])
    assert calls_in(form, text) == both
    assert calls_in(form, text) == both  # a parser's state is its text's alone
    assert calls_in(form_of(name, tokenizer, parallel=False), text) == (before, both[1][:1])
    for other in ("The sum is 1.", ""):
        assert calls_in(form, other) == (other, [])
    assert "drop" not in dict(calls_in(form, text.replace("add", "drop"))[1])


@pytest.mark.parametrize(
    ("name", "field", "written"),
    [
        (
            "qwen3_coder",
            "structural_tag",
            f"<tool_call>\n<function=find>\n{XML}</function>\n</tool_call>",
        ),
        # vLLM has these write plain JSON where they must call.
        ("pythonic", "json", JSON),
    ],
)
def test_calls_that_must_be_are_held_as_vllm_holds_them(
    tokenizer: Any, name: str, field: str, written: str
) -> None:
    form = form_of(name, tokenizer, choice=ToolName.model_validate(NAMED))
    assert form.constraint is not None
    assert form.constraint.field == "tool_choice"
    assert list(form.constraint.fields) == [field]
    assert "[1, 2]" in form.constraint.text  # arguments, too, though no tool is strict
    assert calls_in(form, written) == ("", [("find", ARGUMENTS)])
    required = form_of(name, tokenizer, choice="required")
    assert required.constraint is not None
    assert '"add' in json.dumps(required.constraint.fields).replace("=", '"')


def test_what_vllm_does_not_hold_is_refused(tokenizer: Any) -> None:
    strict = tuple(read_tools([tool("add", strict=True)]))
    with pytest.raises(InputError, match="leave strict out") as error:
        form_of("pythonic", tokenizer, tools=strict)
    assert error.value.field == "tools"
    with pytest.raises(InputError, match="give auto") as error:
        form_of("gemma4", tokenizer, choice="required")
    assert error.value.field == "tool_choice"


def test_a_parser_that_does_not_fit_the_model_is_refused() -> None:
    plain = tooled_tokenizer()
    for name, why in (("mistral", "could not locate"), ("openai", "stub"), ("hf", "metadata")):
        with pytest.raises(InputError, match=f"'{name}'.*{why}") as error:
            call_syntax(name, plain)
        assert error.value.field == "tool_parser"
    assert call_syntax("pythonic", plain) is call_syntax("pythonic", plain)


def test_an_unknown_parser_is_refused_with_those_that_are_known() -> None:
    for name in ("auto", "json", "hermes", "mistral"):
        check_tool_parser(name)
    with pytest.raises(InputError, match=r"auto, hermes, json, or of vLLM's: .*mistral") as error:
        read_settings({"artifact": "none", "tool_parser": "llama"})
    assert error.value.field == "tool_parser"


def test_without_vllm_its_parsers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm.tool_parsers", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"must be one of auto, hermes, json; .*install vLLM"):
        check_tool_parser("mistral")
    check_tool_parser("hermes")
