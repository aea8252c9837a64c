"""How models write calls of tools: between tags, as plain JSON, or as a parser of vLLM reads it."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Any, Protocol

from allocator.errors import InputError
from runtime.frontend.tool_fields import NO_TOOLS, ToolRequest

# Between tags, as Hermes and Qwen write calls; plain JSON, as Llama does; or either, by whether
# there is a tag. All other names are those of vLLM's tool parsers.
OWN = ("auto", "hermes", "json")
OPEN, CLOSE = "<tool_call>", "</tool_call>"


class CallReader(Protocol):
    """Reads the calls in solutions to one request, and says what holds them to the tools' schemas.

    Attributes:
        special_tokens: whether it looks for special tokens, with which texts must then be read.
    """

    @property
    def special_tokens(self) -> bool: ...

    def read(self, text: str) -> tuple[str, list[Any]]:
        """The text before a solution's calls, and the calls as they are written.

        Raises:
            ValueError: they cannot be read.
        """
        ...

    def held(self) -> Mapping[str, Any]:
        """The fields of vLLM's `StructuredOutputsParams` that hold calls to the tools' schemas.

        Raises:
            InputError: nothing holds calls to them.
        """
        ...


# Readers of calls that are written in one way.
CallSyntax = Callable[[ToolRequest], CallReader]


class TextCalls:
    """Calls as JSON: a name, and arguments or parameters.

    Args:
        request: the tools; they make no difference to what is read.
        syntax: one of `OWN`.
    """

    special_tokens = False

    def __init__(self, request: ToolRequest = NO_TOOLS, syntax: str = "auto") -> None:
        self._request, self._syntax = request, syntax

    def read(self, text: str) -> tuple[str, list[Any]]:
        """See `CallReader.read`."""
        tagged = self._syntax == "hermes" or (self._syntax == "auto" and OPEN in text)
        before, *tails = text.split(OPEN) if tagged else ("", text)
        return before, [value for tail in tails for value in json_values(tail.partition(CLOSE)[0])]

    def held(self) -> Mapping[str, Any]:
        """See `CallReader.held`."""
        among_text, plain = self._request.choice == "auto", self._syntax == "json"
        if among_text and plain:
            hint = (
                "strict calls in plain JSON leave no room for text; leave strict out, or, where "
                "the engine is vLLM, give tool_choice required"
            )
            raise InputError("tools", self._request.names, hint)
        tags = []
        for tool in self._request.called:
            head = f'{{"name": {json.dumps(tool.function.name)}, "arguments": '
            schema = tool.function.parameters or {"type": "object"}
            content = {"type": "json_schema", "json_schema": schema}
            # A model may write the tag with or without a line of its own.
            breaks = ["\n", ""] if among_text else ["\n"]
            ends = [("", "")] if plain else [(OPEN + line, line + CLOSE) for line in breaks]
            tags += [
                {"type": "tag", "begin": before + head, "content": content, "end": "}" + after}
                for before, after in ends
            ]
        calls: dict[str, Any] = {"tags": tags, "stop_after_first": not self._request.parallel}
        if among_text:
            calls |= {"type": "triggered_tags", "triggers": [OPEN]}
        else:
            calls |= {"type": "tags_with_separator", "separator": "\n", "at_least_one": True}
        return {"structural_tag": json.dumps({"type": "structural_tag", "format": calls})}


def check_tool_parser(name: str) -> None:
    """Check that calls written so can be read.

    Raises:
        InputError: neither one of `OWN` nor, where vLLM is installed, one of its tool parsers.
    """
    if name in OWN:
        return
    try:
        from vllm.tool_parsers import ToolParserManager
    except ImportError:
        hint = f"must be one of {', '.join(OWN)}; for vLLM's tool parsers, install vLLM"
        raise InputError("tool_parser", name, hint) from None
    others = [one for one in ToolParserManager.list_registered() if one not in OWN]
    if name not in others:
        hint = f"must be one of {', '.join(OWN)}, or of vLLM's: {', '.join(others)}"
        raise InputError("tool_parser", name, hint)


def call_syntax(name: str, tokenizer: Any) -> CallSyntax:
    """The syntax of a name.

    Args:
        name: one of `OWN`, or of vLLM's tool parsers.
        tokenizer: the language model's.

    Raises:
        InputError: an unknown name, or a tool parser that cannot read what this model writes.
    """
    check_tool_parser(name)
    if name in OWN:
        return partial(TextCalls, syntax=name)
    from runtime.frontend.vllm_calls import vllm_syntax

    return vllm_syntax(name, tokenizer)


def json_values(text: str) -> list[Any]:
    """The JSON values of a text, one after the other or in one list.

    Raises:
        ValueError: there is something else in it.
    """
    decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
    values, rest = [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        values += value if isinstance(value, list) else [value]
        rest = rest[end:].lstrip().removeprefix(";").lstrip()
    return values


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is too large")
    return value
