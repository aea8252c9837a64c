"""Request fields that accept several forms, and reasons why others are refused."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from runtime.frontend.prompt_request import are_token_ids

MAX_STOPS, MAX_PROMPTS = 16, 1024

WHOLE_OUTPUT = "it counts over a whole output, which a search samples in pieces"


def _prompts(value: Any) -> Any:
    """A list of prompts from one or many, each a text or token ids."""
    if isinstance(value, str) or are_token_ids(value):
        return [value]
    if isinstance(value, list) and value:
        if len(value) > MAX_PROMPTS:
            raise ValueError(f"there are {len(value)} prompts; give {MAX_PROMPTS} at most")
        if all(isinstance(prompt, str) for prompt in value):
            return value
        if all(map(are_token_ids, value)):
            return value
    raise ValueError("give a text, a list of token ids, or a list of either")


def _stops(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("give a text that is not empty, or a list of such texts")
    if len(texts) > MAX_STOPS:
        raise ValueError(f"there are {len(texts)}; give {MAX_STOPS} at most")
    return texts


_Text = Annotated[str, Field(min_length=1)]
_Ids = Annotated[list[int], Field(min_length=1)]
_Texts = Annotated[list[_Text], Field(max_length=MAX_STOPS)]

# The forms that are accepted, for the OpenAPI document.
PROMPTS = BeforeValidator(
    _prompts,
    json_schema_input_type=_Text
    | _Ids
    | Annotated[list[_Text], Field(min_length=1, max_length=MAX_PROMPTS)]
    | Annotated[list[_Ids], Field(min_length=1, max_length=MAX_PROMPTS)],
)
STOPS = BeforeValidator(_stops, json_schema_input_type=_Text | _Texts | None)
