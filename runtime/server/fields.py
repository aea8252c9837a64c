"""Fields of requests: those that may only stand at one value, and those with several spellings."""

from typing import Any

from pydantic import AfterValidator, BeforeValidator

MOST_STOPS = 16

FREE_TEXT = "the verifier that chooses among solutions was calibrated on free text"
WHOLE_OUTPUT = "it counts over a whole output, which a search samples in pieces"
NOT_HERE = "it is not supported here"


def only(*values: Any, why: str = NOT_HERE) -> AfterValidator:
    """A field that changes nothing at one of `values`, and is refused at any other, for a reason.

    A field that is not there is always fine.
    """

    def check(value: Any) -> Any:
        # In Python 0 equals False; in a request they are not the same.
        known = any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in values)
        if value is None or known:
            return value
        shown = " or ".join(str(v).lower() if isinstance(v, bool) else repr(v) for v in values)
        raise ValueError(f"{why}; leave it out" + (f", or give {shown}" if values else ""))

    return AfterValidator(check)


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


TEXT_OF_PARTS = BeforeValidator(_text_of_parts, json_schema_input_type=str | list[dict[str, str]])
PROMPTS = BeforeValidator(
    _prompts, json_schema_input_type=str | list[str] | list[int] | list[list[int]]
)
STOPS = BeforeValidator(_stops, json_schema_input_type=str | list[str] | None)
