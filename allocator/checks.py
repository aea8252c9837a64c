"""Numbers that callers give, checked where they come in."""

from math import isfinite
from typing import Annotated, Any

from pydantic import Field

from allocator.errors import InputError

Probability = Annotated[float, Field(ge=0, le=1)]  # or a share


def finite(value: Any) -> bool:
    """Whether a value is a number that fits a float; a string is not a number."""
    try:
        return isfinite(value)
    except (TypeError, OverflowError):
        return False


def check_positive(field: str, value: Any, hint: str = "must be positive") -> float:
    """The value, if it is a positive number.

    Args:
        field: the caller's name for it.
        value: the value.
        hint: what must hold.

    Raises:
        InputError: it is not.
    """
    if not finite(value) or value <= 0:
        raise InputError(field, value, hint)
    return float(value)
