"""Constraints on what a model writes, to which vLLM holds it token by token: structured outputs.

A constraint holds for what one request samples. It begins anew where a request continues a prefix,
so that solutions under one are sampled whole, never step by step.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from allocator.errors import InputError, shortened
from runtime.engines.base import Engine


@dataclass(frozen=True)
class Constraint:
    """What a solution is held to, after its thought if it has one.

    Attributes:
        field: the caller's name for it, for error messages.
        text: the fields of vLLM's `StructuredOutputsParams`, as a JSON object. Their order counts:
            properties are written in the order of their schema.
        given: the caller's value for it, for error messages; empty where that is `text`.
    """

    field: str
    text: str
    given: str = ""

    @classmethod
    def of(cls, field: str, fields: Mapping[str, Any], given: str = "") -> "Constraint":
        """A constraint of fields of `StructuredOutputsParams`, such as ``{"json": SCHEMA}``."""
        return cls(field, json.dumps(fields), given)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of `StructuredOutputsParams`."""
        fields: dict[str, Any] = json.loads(self.text)
        return fields

    def refused(self, why: str) -> "ConstraintError":
        """The error of a constraint that cannot be held."""
        return ConstraintError(self.field, shortened(self.given or self.text), why)


class ConstraintError(InputError):
    """A constraint that an engine refuses."""


@runtime_checkable
class HasConstraints(Protocol):
    """An engine that holds what it samples to a constraint.

    Its `complete` then takes ``constraint``, and None for none.
    """

    def check_constraint(self, constraint: Constraint) -> None:
        """Check a constraint as far as is possible without a request.

        Raises:
            ConstraintError: it is malformed, or the engine does not support it.
        """
        ...


def check_constraint(engine: Engine, constraint: Constraint) -> None:
    """Check that an engine can hold solutions to a constraint.

    Raises:
        ConstraintError: it cannot hold them to any, or not to this one.
    """
    if not isinstance(engine, HasConstraints):
        raise constraint.refused(
            f"the engine must be vLLM, in process or a server's; {type(engine).__name__} cannot "
            "hold a solution to it; leave it out"
        )
    engine.check_constraint(constraint)
