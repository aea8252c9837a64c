"""Conversations, for the server and the drop-ins alike: validation and rendering.

The language model reads what its chat template renders; verifiers with a format of their own read
`conversation_text`.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from allocator.errors import InputError
from runtime.frontend.fields import Strict, input_error, only, present

TURNS = ("user", "assistant", "tool")
REASONING = ("reasoning", "reasoning_content")
# Names that variables may not have, besides the parameters of `apply_chat_template`.
RESERVED = ("messages", "conversations", "self")


class TextPart(Strict):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class CalledFunction(Strict):
    """The function of a call; its arguments are a JSON object, as text."""

    name: str
    arguments: str

    @property
    def values(self) -> dict[str, Any]:
        """The arguments, as chat templates read them.

        Raises:
            ValueError: they are not a JSON object.
        """
        values = json.loads(self.arguments or "{}")
        if not isinstance(values, dict):
            raise ValueError("not an object")
        return values

    @model_validator(mode="after")
    def _check(self) -> "CalledFunction":
        try:
            _ = self.values
        except (ValueError, RecursionError):
            raise InputError("arguments", self.arguments, "must be a JSON object") from None
        return self


class Called(Strict):
    """A call of a tool in an assistant's turn."""

    id: str | None = None
    type: Literal["function"] = "function"
    index: int | None = None  # of streams that clients put together
    function: CalledFunction

    @property
    def shown(self) -> dict[str, Any]:
        """As chat templates read it."""
        function = {"name": self.function.name, "arguments": self.function.values}
        return {"id": self.id, "type": self.type, "function": function}


def _parts(content: Any) -> Any:
    """A content as parts; a text is one."""
    parts = [content] if isinstance(content, str) else content
    if not isinstance(parts, list | tuple):
        raise ValueError("give a text, or a list of parts of type 'text'")
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]


class Message(Strict):
    """A turn of a conversation.

    An assistant's turn may be sent back as a server returned it. Its further fields are accepted
    where they are empty or chat templates read them, and refused otherwise.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]

    reasoning: str | None = None
    reasoning_content: str | None = None  # the same under the name that chat templates read
    annotations: list[Any] | None = None  # citations for the text, which no template reads
    refusal: Annotated[Any, only("", why="a refusal is not part of the conversation")] = None
    audio: Annotated[Any, only({}, why="only text is supported")] = None
    images: Annotated[Any, only([], why="only text is supported")] = None
    function_call: Annotated[Any, only({}, why="give tool_calls in its place")] = None
    tool_calls: list[Called] = Field(default_factory=list)
    tool_call_id: str | None = None
    name: str | None = None  # of a tool
    # LiteLLM's.
    provider_specific_fields: Annotated[Any, only({})] = None
    thinking_blocks: Annotated[Any, only([])] = None
    reasoning_items: Annotated[Any, only([])] = None

    content: Annotated[
        list[TextPart],
        BeforeValidator(_parts, json_schema_input_type=str | list[str | TextPart]),
    ] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> "Message":
        if self.role != "tool":
            for name in ("name", "tool_call_id"):
                if value := getattr(self, name):
                    hint = "chat templates read it of a tool's message alone; leave it out"
                    raise InputError(name, value, hint)
        if self.role == "assistant":
            return self
        if "content" not in self.model_fields_set:
            raise InputError("content", None, "give a text, or parts of type 'text'")
        for name in ("annotations", "tool_calls", *REASONING):
            if value := getattr(self, name):
                raise InputError(
                    name, value, "only an assistant's message may have it; leave it out"
                )
        return self

    @property
    def turn(self) -> dict[str, Any]:
        """The message as chat templates read it; ``developer`` is a later name for ``system``."""
        turn: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": "\n".join(part.text for part in self.content),
        }
        if self.tool_calls:
            turn["tool_calls"] = [call.shown for call in self.tool_calls]
        turn |= present({"tool_call_id": self.tool_call_id, "name": self.name})
        reasoning = self.reasoning or self.reasoning_content
        return turn | (dict.fromkeys(REASONING, reasoning) if reasoning else {})


def turns_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation as chat templates read it.

    Raises:
        InputError: it is empty, or ends with an answer.
    """
    turns = [message.turn for message in messages]
    if not any(turn["content"].strip() for turn in turns):
        raise InputError("messages", turns, "must not be empty; give some text")
    if turns[-1]["role"] == "assistant":
        hint = "an answer cannot be continued; end with the user's turn"
        raise InputError(f"messages[{len(turns) - 1}].role", "assistant", hint)
    return turns


def read_messages(given: Any) -> list[Message]:
    """A conversation's messages, each a mapping or an object of a client library.

    Raises:
        InputError: no messages, or one that is not supported, by its field's path.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise InputError("messages", given, "must be a list of messages, at least one")
    return [_message(message, number) for number, message in enumerate(given)]


def _message(given: Any, number: int) -> Message:
    fields = given.model_dump() if isinstance(given, BaseModel) else given
    if not isinstance(fields, Mapping):
        raise InputError(f"messages[{number}]", given, "give each message a role and a content")
    try:
        return Message.model_validate(dict(fields))
    except ValidationError as error:
        raise input_error(error.errors(include_url=False), "messages", number) from None


def conversation_text(turns: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as plain text, with an empty line between messages.

    A single user turn is its content alone, as in calibration. If there are several turns, each
    begins with its role. A system message is its content alone. Calls of tools follow the content,
    as JSON.

    Args:
        turns: each with a ``role`` and a ``content``.
    """
    several = sum(turn["role"] in TURNS for turn in turns) > 1
    return "\n\n".join(
        f"{turn['role'].capitalize()}: {_said(turn)}"
        if several and turn["role"] in TURNS
        else turn["content"]
        for turn in turns
    )


def _said(turn: Mapping[str, Any]) -> str:
    """A turn's content, and its calls of tools."""
    calls = (
        json.dumps(call["function"], ensure_ascii=False) for call in turn.get("tool_calls", ())
    )
    return "\n".join(filter(None, (turn["content"], *calls)))


def render_conversation(
    tokenizer: Any,
    turns: Sequence[Mapping[str, Any]],
    chat_template: str | None = None,
    add_generation_prompt: bool = True,
    variables: Mapping[str, Any] | None = None,
    field: str = "messages",
) -> str:
    """A conversation as a chat template renders it, special tokens included.

    Args:
        tokenizer: the language model's.
        turns: each with a ``role`` and a ``content``.
        chat_template: in place of the tokenizer's.
        add_generation_prompt: whether the model's turn is begun.
        variables: further variables of the template; see `template_variables`.
        field: the name of the conversation in error messages.

    Raises:
        InputError: there is no template, or it fails.
    """
    if not (chat_template or tokenizer.chat_template):
        hint = "the model has no chat template, which a conversation needs; give a prompt as text"
        raise InputError(field, [turn["role"] for turn in turns], hint)
    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(turn) for turn in turns],
                chat_template=chat_template,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                **(variables or {}),
            )
        )
    except Exception as error:  # a template is a program: it may raise anything
        why = f"the chat template fails ({type(error).__name__}: {error})"
        raise InputError(field, [turn["role"] for turn in turns], why) from error


def template_variables(given: Any, tokenizer: Any) -> dict[str, Any]:
    """A request's `chat_template_kwargs`, those that are null left out.

    Raises:
        InputError: not a mapping, or a name that is reserved.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InputError("chat_template_kwargs", given, "must be a mapping from names to values")
    for name in (*inspect.signature(tokenizer.apply_chat_template).parameters, *RESERVED):
        if given.get(name) is not None:
            hint = "it is not a variable of the template; leave it out"
            raise InputError(f"chat_template_kwargs.{name}", given[name], hint)
    return present(given)


def template_notes(variables: Mapping[str, Any]) -> list[str]:
    """Notes for a caller who sets variables of the chat template."""
    if not variables:
        return []
    names = ", ".join(sorted(variables))
    return [f"the chat template was given {names}; the table was calibrated with none set"]
