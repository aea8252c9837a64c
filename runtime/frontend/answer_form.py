"""The form of a request's answers: free text, JSON, other structured outputs, or calls of tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from allocator.errors import InputError
from runtime.engines.constraint import Constraint
from runtime.frontend.call_syntax import CallReader
from runtime.frontend.fields import Strict

# What is voted on: a solution's calls together, each of them by itself, or the tools' names alone.
CallVote = Literal["call", "each", "name"]


@dataclass(frozen=True)
class CallFormat:
    """Calls that solutions may make.

    Attributes:
        tools: names of the tools that may be called.
        reader: finds them in what the model writes.
        parallel: whether a solution may have several; otherwise its first counts.
        vote: what of calls is voted on.
        shown: whether the chat template shows the tools to the model.
    """

    tools: tuple[str, ...]
    reader: CallReader
    parallel: bool = True
    vote: CallVote = "call"
    shown: bool = True


@dataclass(frozen=True)
class AnswerForm:
    """The form of a request's answers.

    Attributes:
        constraint: what solutions are held to; None for free text.
        reading: what is the answer of a solution without calls: what the artifact's ``task`` says,
            its ``json``, or all of its ``text``.
        calls: the calls that solutions may make; None where there are no tools.
    """

    constraint: Constraint | None = None
    reading: Literal["task", "json", "text"] = "task"
    calls: CallFormat | None = None

    @property
    def notes(self) -> list[str]:
        """Notes for the caller."""
        notes = []
        if self.constraint is not None:
            field = self.constraint.field
            notes.append(f"solutions are held to {field}; the table was calibrated without")
        if self.calls is not None and not self.calls.shown:
            notes.append("the chat template does not show the tools to the model")
        return notes


FREE_TEXT = AnswerForm()


def structured_form(field: str, fields: Mapping[str, Any]) -> AnswerForm:
    """The form of solutions that vLLM's structured outputs describe.

    Args:
        field: the caller's name for them, for error messages.
        fields: the fields of vLLM's `StructuredOutputsParams` that are set.
    """
    constraint = Constraint.of(field, fields)
    if "json" in fields or "json_object" in fields:
        return AnswerForm(constraint, "json")
    return AnswerForm(constraint, "text" if "choice" in fields else "task")


class JsonSchema(Strict):
    """A response format's schema. It always holds, whatever `strict` says."""

    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """The field ``response_format``."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _check(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise InputError(
                "json_schema", None, "it goes with the type 'json_schema', and only so"
            )
        return self

    @property
    def form(self) -> AnswerForm:
        """The form of the answers."""
        fields: dict[str, Any] = {"json_object": True}
        if self.type == "text":
            return FREE_TEXT
        if self.json_schema is not None:
            fields = {"json": self.json_schema.schema_}
        return structured_form("response_format", fields)


class StructuredOutputs(Strict):
    """The field ``structured_outputs``, as vLLM has it."""

    json_: str | dict[str, Any] | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: Literal[True] | None = None
    structural_tag: str | None = None
    disable_any_whitespace: bool | None = None
    disable_additional_properties: bool | None = None
    whitespace_pattern: str | None = None

    @property
    def form(self) -> AnswerForm:
        """The form of the answers."""
        fields = self.model_dump(by_alias=True, exclude_none=True)
        return structured_form("structured_outputs", fields)
