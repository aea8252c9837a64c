"""Tools that a model may call: their definitions, and the form of solutions that call them."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from allocator.errors import InputError
from runtime.engines.constraint import Constraint
from runtime.frontend.answer_form import (
    CLOSE,
    FREE_TEXT,
    OPEN,
    AnswerForm,
    CallFormat,
    CallSyntax,
    CallVote,
)
from runtime.frontend.fields import Strict, input_error
from runtime.frontend.reasoning import reads


class Function(Strict):
    """A function that may be called."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Strict):
    """A tool."""

    type: Literal["function"]
    function: Function

    @property
    def shown(self) -> dict[str, Any]:
        """As chat templates read it."""
        return self.model_dump(exclude_none=True, exclude={"function": {"strict"}})


class FunctionName(Strict):
    """The function that must be called."""

    name: str


class ToolName(Strict):
    """The tool that must be called."""

    type: Literal["function"]
    function: FunctionName


ToolChoice = Literal["none", "auto", "required"] | ToolName


def tools_form(
    tools: Sequence[Tool],
    template: Any,
    choice: ToolChoice = "auto",
    parallel: bool = True,
    syntax: CallSyntax = "auto",
    vote: CallVote = "call",
) -> AnswerForm:
    """The form of solutions that may call tools.

    Where the choice is ``auto`` and no tool is strict, solutions are free text, in which calls are
    found. Otherwise calls are held to the tools' schemas.

    Args:
        tools: the tools, at least one.
        template: the chat template; None where there is none.
        choice: whether a tool must be called, and which.
        parallel: whether one solution may make several calls.
        syntax: how the model writes calls.
        vote: what of calls is voted on.

    Raises:
        InputError: a choice of a tool that is not there, tools that the model would not see, or
            strict tools whose calls cannot be told from text before they are read.
    """
    if choice == "none":
        return FREE_TEXT
    names, called = [tool.function.name for tool in tools], list(tools)
    if not isinstance(choice, str):
        parallel, named = False, choice.function.name
        called = [tool for tool in tools if tool.function.name == named]
        if not called:
            hint = f"must be one of {', '.join(names)}"
            raise InputError("tool_choice.function.name", named, hint)
    shown = reads(template, "tools")
    if choice == "auto" and not shown:
        hint = "the chat template does not show tools to the model; give tool_choice required"
        raise InputError("tools", names, hint)
    strict = any(tool.function.strict for tool in tools)
    if choice == "auto" and strict and syntax == "json":
        hint = "strict calls in plain JSON leave no room for text; give tool_choice required"
        raise InputError("tools", names, hint)
    constraint = None
    if choice != "auto" or strict:
        field = "tools" if choice == "auto" else "tool_choice"
        grammar = call_grammar(called, choice == "auto", parallel, syntax)
        constraint = Constraint.of(field, {"structural_tag": grammar})
    called_names = tuple(tool.function.name for tool in called)
    return AnswerForm(
        constraint, calls=CallFormat(called_names, syntax, parallel, vote, shown=shown)
    )


def tool_variables(tools: Sequence[Tool], form: AnswerForm) -> dict[str, Any]:
    """The chat template's variables by which a model sees the tools that it may call."""
    if form.calls is None or not form.calls.shown:
        return {}
    return {"tools": [tool.shown for tool in tools]}


def call_grammar(
    tools: Sequence[Tool], among_text: bool, parallel: bool, syntax: CallSyntax
) -> str:
    """The structural tag of calls, as vLLM's `StructuredOutputsParams` have it.

    Args:
        tools: what may be called.
        among_text: whether free text may stand before the calls, or in place of them.
        parallel: whether there may be several.
        syntax: whether the calls stand between tags.
    """
    tags = []
    for tool in tools:
        head = f'{{"name": {json.dumps(tool.function.name)}, "arguments": '
        schema = tool.function.parameters or {"type": "object"}
        content = {"type": "json_schema", "json_schema": schema}
        # A model may write the tag with or without a line of its own.
        breaks = ["\n", ""] if among_text else ["\n"]
        ends = [("", "")] if syntax == "json" else [(OPEN + line, line + CLOSE) for line in breaks]
        tags += [
            {"type": "tag", "begin": before + head, "content": content, "end": "}" + after}
            for before, after in ends
        ]
    calls: dict[str, Any] = {"tags": tags, "stop_after_first": not parallel}
    if among_text:
        calls |= {"type": "triggered_tags", "triggers": [OPEN]}
    else:
        calls |= {"type": "tags_with_separator", "separator": "\n", "at_least_one": True}
    return json.dumps({"type": "structural_tag", "format": calls})


def read_tools(given: Any) -> list[Tool]:
    """Tools, each a mapping as OpenAI defines it.

    Raises:
        InputError: something else, by its field's path.
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError("tools", given, "must be a list of tools")
    tools = []
    for number, tool in enumerate(given):
        try:
            tools.append(Tool.model_validate(tool))
        except ValidationError as error:
            raise input_error(error.errors(include_url=False), "tools", number) from None
    return tools
