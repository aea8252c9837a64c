"""The form of solutions that call tools."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

from allocator.errors import InputError
from runtime.engines.constraint import Constraint
from runtime.frontend.answer_form import FREE_TEXT, AnswerForm, CallFormat, CallVote
from runtime.frontend.call_syntax import CallSyntax
from runtime.frontend.reasoning import reads
from runtime.frontend.tool_fields import Tool, ToolRequest


def tools_form(
    request: ToolRequest, template: Any, syntax: CallSyntax, vote: CallVote = "call"
) -> AnswerForm:
    """The form of solutions that may call tools.

    Where the choice is ``auto`` and no tool is strict, solutions are free text, in which calls are
    found. Otherwise calls are held to the tools' schemas.

    Args:
        request: the tools, at least one.
        template: the chat template; None where there is none.
        syntax: how the model writes calls.
        vote: what of calls is voted on.

    Raises:
        InputError: an unknown vote, a choice of a tool that is not there, tools that the model
            would not see, or calls that cannot be held to their schemas in this syntax.
    """
    if vote not in get_args(CallVote):
        raise InputError("tool_vote", vote, f"must be one of {', '.join(get_args(CallVote))}")
    if request.choice == "none":
        return FREE_TEXT
    if not isinstance(request.choice, str):
        named = request.choice.function.name
        request = replace(request, parallel=False)
        if not request.called:
            hint = f"must be one of {', '.join(request.names)}"
            raise InputError("tool_choice.function.name", named, hint)
    shown, auto = reads(template, "tools"), request.choice == "auto"
    if auto and not shown:
        hint = (
            "the chat template does not show tools to the model; give one that does, or, on a "
            "server whose engine is vLLM, tool_choice required"
        )
        raise InputError("tools", request.names, hint)
    reader, constraint = syntax(request), None
    names = tuple(tool.function.name for tool in request.called)
    if not auto or request.strict:
        given = "required" if request.choice == "required" else ", ".join(names)
        constraint = Constraint.of("tools" if auto else "tool_choice", reader.held(), given)
    return AnswerForm(
        constraint, calls=CallFormat(names, reader, request.parallel, vote, shown=shown)
    )


def tool_variables(tools: Sequence[Tool], form: AnswerForm) -> dict[str, Any]:
    """The chat template's variables by which a model sees the tools that it may call."""
    if form.calls is None or not form.calls.shown:
        return {}
    return {"tools": [tool.shown for tool in tools]}
