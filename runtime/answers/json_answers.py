"""Answers that are JSON, compared by value: key order, spaces and number forms make no difference.

A solution's JSON is the whole solution, else its last fenced block, else its last line.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from runtime.answers.readers import Reader
from runtime.answers.thought import THINK, Thought

FENCE = "```"
MAX_DIGITS = 1000  # of a number; a longer one is no JSON here


class JsonAnswers(Reader):
    """The JSON of a solution, or one field of it.

    Args:
        fields: names of the fields that lead to the answer, outermost first; none takes all of the
            JSON. A text is then compared without its quotes, as data sets have it.
        thoughts: as `Reader`.
    """

    def __init__(self, fields: Sequence[str] = (), thoughts: Sequence[Thought] = (THINK,)) -> None:
        super().__init__(thoughts)
        self._fields = tuple(fields)

    def _find(self, text: str) -> str | None:
        found = find_json(text)
        if found is None or not self._fields:
            return found
        value = json.loads(found)
        for name in self._fields:
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return encodable(text)

    def _keys(self, answers: Sequence[str]) -> dict[str, str]:
        return {answer: json_key(answer) or f"text {answer}" for answer in answers}


def find_json(text: str) -> str | None:
    """The JSON of a solution; None where it has none."""
    text = text.strip()
    fenced = text.rpartition(FENCE)[0].rpartition(FENCE)[2].removeprefix("json").strip()
    places = (text, fenced, text.rpartition("\n")[2])
    return next((place for place in places if json_key(place) is not None), None)


def encodable(text: str) -> str:
    """A text with U+FFFD for each half of a surrogate pair, which JSON may hold as an escape."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def json_key(text: str) -> str | None:
    """A key of a JSON text, the same for all texts of equal value; None where it is not JSON."""
    try:
        value = json.loads(
            text, parse_int=_number, parse_float=_number, parse_constant=_not_a_number
        )
        return _key(value)
    except (ValueError, RecursionError):
        return None


class _Number(str):
    """A number, by its digits and exponent."""


def _number(text: str) -> _Number:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number of too many digits")
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    kept = digits.rstrip("0")
    power = int(exponent or 0) - len(fraction) + len(digits) - len(kept)
    sign = "-" if text.startswith("-") else ""
    return _Number(f"{sign}{kept}e{power}" if kept else "0")


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _key(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        fields = sorted(f"{json.dumps(name)}:{_key(inner)}" for name, inner in value.items())
        return "{" + ",".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_key, value)) + "]"
    return json.dumps(value)
