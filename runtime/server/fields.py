"""Fields of requests: those that may only stand at one value, and those with several spellings."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import TypedDict

MOST_STOPS, MOST_PROMPTS = 16, 1024

FREE_TEXT = "the verifier that chooses among solutions was calibrated on free text"
WHOLE_OUTPUT = "it counts over a whole output, which a search samples in pieces"
NOT_HERE = "it is not supported here"


@dataclass(frozen=True)
class Only:
    """A field that changes nothing at one of `values`, and is refused at any other, for a reason.

    A field that is not there is always fine.
    """

    values: tuple[Any, ...]
    why: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Its check, after that of its type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """What the server's document says of it."""
        return {"enum": [*self.values, None]}

    def _check(self, value: Any) -> Any:
        # In Python 0 equals False; in a request they are not the same.
        if value is None or any(
            value == v and isinstance(value, bool) == isinstance(v, bool) for v in self.values
        ):
            return value
        shown = " or ".join(str(v).lower() if isinstance(v, bool) else repr(v) for v in self.values)
        mend = "leave it out" + (f", or give {shown}" if shown else "")
        raise ValueError(f"{self.why}; {mend}")


def only(*values: Any, why: str = NOT_HERE) -> Only:
    """A field that may only stand at one of `values`."""
    return Only(values, why)


def _text_of_parts(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            raise ValueError(f"parts of type {kind!r} cannot be read; give parts of type 'text'")
        if set(part) != {"type", "text"} or not isinstance(part["text"], str):
            raise ValueError("a part of type 'text' has a field 'text' with a string, and no other")
        texts.append(part["text"])
    return "\n".join(texts)


def _prompts(value: Any) -> Any:
    """A list of prompts from one or many, each a text or token ids."""
    if isinstance(value, str) or (isinstance(value, list) and value and _are_ids(value)):
        return [value]
    if isinstance(value, list) and value:
        if len(value) > MOST_PROMPTS:
            raise ValueError(f"there are {len(value)} prompts; give {MOST_PROMPTS} at most")
        if all(isinstance(prompt, str) for prompt in value):
            return value
        if all(isinstance(prompt, list) and prompt and _are_ids(prompt) for prompt in value):
            return value
    raise ValueError("give a text, a list of token ids, or a list of either")


def _are_ids(value: list[Any]) -> bool:
    return all(isinstance(token, int) and not isinstance(token, bool) for token in value)


def _stops(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("give a text that is not empty, or a list of such texts")
    if len(texts) > MOST_STOPS:
        raise ValueError(f"there are {len(texts)}; give {MOST_STOPS} at most")
    return texts


class _TextPart(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    type: Literal["text"]
    text: str


_Text = Annotated[str, Field(min_length=1)]
_Ids = Annotated[list[int], Field(min_length=1)]
_Texts = Annotated[list[_Text], Field(max_length=MOST_STOPS)]

# What may be sent, for the server's document.
TEXT_OF_PARTS = BeforeValidator(_text_of_parts, json_schema_input_type=str | list[_TextPart])
PROMPTS = BeforeValidator(
    _prompts,
    json_schema_input_type=_Text
    | _Ids
    | Annotated[list[_Text], Field(min_length=1, max_length=MOST_PROMPTS)]
    | Annotated[list[_Ids], Field(min_length=1, max_length=MOST_PROMPTS)],
)
STOPS = BeforeValidator(_stops, json_schema_input_type=_Text | _Texts | None)
