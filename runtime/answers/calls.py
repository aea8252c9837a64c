"""Calls of tools in solutions: found, and compared as answers."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.answers.json_answers import encodable, json_key
from runtime.answers.readers import Answers
from runtime.answers.selection import Parts
from runtime.frontend.answer_form import CallFormat
from runtime.frontend.call_syntax import TextCalls, json_values


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool.

    Attributes:
        name: the tool's.
        arguments: a JSON object.
    """

    name: str
    arguments: str

    @property
    def text(self) -> str:
        """The call as JSON."""
        return f'{{"name": {json.dumps(self.name)}, "arguments": {self.arguments}}}'


class CallParser:
    """Finds calls in a solution.

    Args:
        calls: what calls it may make, and how the model writes them.
    """

    def __init__(self, calls: CallFormat) -> None:
        self._calls = calls

    def parse(self, text: str) -> tuple[str, tuple[ToolCall, ...]]:
        """The text before a solution's calls, and the calls.

        A call must name one of the tools, and its arguments must be an object. If one of them is
        not such a call, the solution has none, and is all text.
        """
        try:
            before, values = self._calls.reader.read(text)
            calls = tuple(map(self._call, values))
        except (ValueError, RecursionError):
            return text, ()
        return (before, calls if self._calls.parallel else calls[:1]) if calls else (text, ())

    def _call(self, value: Any) -> ToolCall:
        """A call, as models write it.

        Raises:
            ValueError: it is not a call.
        """
        if not isinstance(value, dict) or value.get("name") not in self._calls.tools:
            raise ValueError("not a call of one of the tools")
        arguments = value.get("arguments", value.get("parameters"))
        if isinstance(arguments, str):
            (arguments,) = json_values(arguments)
        if not isinstance(arguments, dict):
            raise ValueError("its arguments are not an object")
        return ToolCall(value["name"], encodable(json.dumps(arguments, ensure_ascii=False)))


class CallAnswers:
    """Answers of solutions that may call tools: their calls, else what another reader finds.

    Solutions are equal if they make the same calls, in whatever order. A call and a text are never
    equal.

    Args:
        calls: the calls, and what of them is compared.
        texts: reads and compares solutions without calls.
    """

    def __init__(self, calls: CallFormat, texts: Answers) -> None:
        self._parser, self._texts, self._vote = CallParser(calls), texts, calls.vote
        # An answer's are plain JSON.
        self._written = CallParser(replace(calls, reader=TextCalls(syntax="json")))

    def extract(self, text: str) -> str | None:
        """See `Answers.extract`."""
        return self._called(text) or self._texts.extract(text)

    def canonicalize(self, found: Sequence[str | None]) -> list[str | None]:
        """See `Answers.canonicalize`."""
        return self._merged(found, self._texts.canonicalize(self._others(found)))

    def undecided(self, found: Iterable[str | None]) -> list[str]:
        """See `Answers.undecided`."""
        return self._texts.undecided(self._others(list(found)))

    async def extract_async(self, text: str) -> str | None:
        """See `extract`."""
        return self._called(text) or await self._texts.extract_async(text)

    async def canonicalize_async(self, found: Sequence[str | None]) -> list[str | None]:
        """See `canonicalize`."""
        return self._merged(found, await self._texts.canonicalize_async(self._others(found)))

    def _called(self, text: str) -> str | None:
        """A solution's calls as an answer; None where it has none."""
        _, calls = self._parser.parse(text)
        return f"[{', '.join(call.text for call in calls)}]" if calls else None

    def _key(self, answer: str | None) -> str | None:
        """A key of an answer's calls; None where it has none."""
        return None if answer is None else "\n".join(self._keys(answer)) or None

    def _keys(self, answer: str) -> list[str]:
        """A key of each of an answer's calls, sorted."""
        _, calls = self._written.parse(answer)
        by_name = self._vote == "name"
        return sorted(call.name if by_name else json_key(call.text) or call.text for call in calls)

    def _others(self, found: Sequence[str | None]) -> list[str | None]:
        """The answers, those that are calls left out."""
        return [None if self._key(answer) else answer for answer in found]

    def _merged(self, found: Sequence[str | None], texts: Sequence[str | None]) -> list[str | None]:
        """Canonical answers: calls as written first, the others as `texts` has them."""
        first: dict[str, str | None] = {}
        keys = map(self._key, found)
        return [
            text if key is None else first.setdefault(key, answer)
            for key, answer, text in zip(keys, found, texts, strict=True)
        ]


class EachCall(CallAnswers):
    """Answers of which every call is voted on by itself, see `answer_mass`."""

    def parts(self, answer: str) -> list[str]:
        """The calls of an answer, equal ones numbered; of a text all of it."""
        keys = self._keys(answer)
        return [f"{keys[:i].count(key)} {key}" for i, key in enumerate(keys)] or [answer]


def parts_of(answers: Answers) -> Parts | None:
    """What of an answer is voted on by itself; None where answers are voted on whole."""
    return answers.parts if isinstance(answers, EachCall) else None
