"""Request fields: the strict base model, fields with one permitted value, and readable errors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from allocator.errors import InputError

NOT_HERE = "it is not supported here"
NULL = {"type": "null"}
# Numbers in texts. Python's `int` and `float` also accept 1_0, +5 and digits of other scripts.
WHOLE, DECIMAL = r"[0-9]{1,18}", r"[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?"


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not null: a null field counts as absent."""
    return {name: value for name, value in fields.items() if value is not None}


class Strict(BaseModel):
    """A part of a request. A null field counts as absent; any other unknown field is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return present(given) if isinstance(given, Mapping) else given

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The model's schema, in which every field that may be left out may be null."""
        found = handler(schema)
        resolved = handler.resolve_ref_schema(found)
        resolved["additionalProperties"] = NULL
        fields = resolved.get("properties", {})
        for name in fields.keys() - {*resolved.get("required", ())}:
            if not _may_be_null(fields[name]):
                fields[name] = {"anyOf": [fields[name], NULL]}
        return found


@dataclass(frozen=True)
class Only:
    """A field that is accepted with one of `values`, or absent, and refused with any other."""

    values: tuple[Any, ...]
    why: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """The check, after that of its type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Its schema in the OpenAPI document."""
        objects = [_exactly(value) for value in self.values if isinstance(value, dict)]
        plain = {"enum": [*(v for v in self.values if not isinstance(v, dict)), None]}
        return {"anyOf": [plain, *objects]} if objects else plain

    def _check(self, value: Any) -> Any:
        compared = present(value) if isinstance(value, Mapping) else value
        # In Python 0 equals False; in a request they are not the same.
        if value is None or any(
            compared == v and isinstance(compared, bool) == isinstance(v, bool) for v in self.values
        ):
            return value
        given = [str(v).lower() if isinstance(v, bool) else repr(v) for v in self.values]
        hint = "leave it out" + (f", or give {' or '.join(given)}" if given else "")
        raise ValueError(f"{self.why}; {hint}")


def only(*values: Any, why: str = NOT_HERE) -> Only:
    """A field that may only have one of `values`."""
    return Only(values, why)


def _may_be_null(schema: JsonSchemaValue) -> bool:
    if "anyOf" in schema:
        return any(map(_may_be_null, schema["anyOf"]))
    return schema == NULL or None in schema.get("enum", ())


def _exactly(fields: Mapping[str, Any]) -> JsonSchemaValue:
    return {
        "type": "object",
        "properties": {name: {"const": value} for name, value in fields.items()},
        "required": list(fields),
        "additionalProperties": NULL,
    }


def input_error(errors: Sequence[Any], *place: str | int) -> InputError:
    """Pydantic's first error as an InputError that names the field by its path.

    Args:
        errors: pydantic's.
        place: path of the validated value within the request.
    """
    first = errors[0]
    field, kind = _path((*place, *first["loc"])), first["type"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        field = ".".join(filter(None, (field, cause.field)))
        return InputError(field, cause.value, cause.hint)
    if kind == "missing":
        return InputError(field, None, "it is missing; give it")
    if kind == "extra_forbidden":
        return InputError(field, first["input"], "no such field; leave it out")
    return InputError(field, first["input"], str(cause or first["msg"]))


def _path(place: Sequence[str | int]) -> str:
    """A path such as ``messages[1].content``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def number_in(text: Any) -> Any:
    """The integer that a text of ASCII digits represents; anything else unchanged."""
    return int(text) if isinstance(text, str) and re.fullmatch(WHOLE, text) else text
