"""Fields of a request that define tools, and say which of them may be called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from allocator.errors import InputError
from runtime.frontend.fields import Strict, input_error


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


@dataclass(frozen=True)
class ToolRequest:
    """What a request says of tools.

    Attributes:
        tools: the tools.
        choice: which of them must be called; ``auto`` where none must.
        parallel: whether one solution may make several calls.
    """

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = "auto"
    parallel: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all the tools."""
        return tuple(tool.function.name for tool in self.tools)

    @property
    def called(self) -> tuple[Tool, ...]:
        """The tools that may be called."""
        if isinstance(self.choice, str):
            return self.tools
        named = self.choice.function.name
        return tuple(tool for tool in self.tools if tool.function.name == named)

    @property
    def strict(self) -> bool:
        """Whether calls of one of the tools must fit its schema, if it is called."""
        return any(tool.function.strict for tool in self.tools)


NO_TOOLS = ToolRequest()
