"""Sampling settings that a caller requests in place of the calibrated ones."""

from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

from pydantic import ValidationError

from allocator.checks import finite
from allocator.errors import InputError
from runtime.engines.base import LARGEST, SamplingSettings
from runtime.frontend.fields import present

# What the table depends on. It holds for solutions of any length, so max_tokens is not here.
CALIBRATED = ("temperature", "top_p", "top_k", "min_p")


@dataclass(frozen=True)
class SamplingOverrides:
    """Sampling settings that a caller requested; None keeps the calibrated value.

    Attributes:
        temperature: 0 is greedy.
        top_p: probability mass to sample from.
        top_k: tokens to sample from; 0 and -1 are off.
        min_p: least probability, relative to the likeliest token's.
        max_tokens: longest solution, in tokens.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None


def sampling_for(
    calibrated: SamplingSettings, budget: int | None, overrides: SamplingOverrides
) -> tuple[SamplingSettings, list[str]]:
    """How to sample for a caller, and notes on it for the caller.

    A temperature of 0 is greedy if one solution is sampled. Several greedy solutions would be
    equal, so they are sampled at the calibrated temperature.

    Args:
        calibrated: sampling settings that the artifact was calibrated with.
        budget: generations that the prompt may cost; None where its budget is in tokens, which may
            be several.
        overrides: what the caller requested.

    Returns:
        The settings, and a note on each that is not as requested or not as calibrated.

    Raises:
        InputError: a value out of its range.
    """
    given = present(asdict(overrides))
    if given.get("top_k") == -1:
        given["top_k"] = 0
    notes = []
    if given.get("temperature") == 0 and budget != 1 and calibrated.temperature > 0:
        del given["temperature"]
        several = "all solutions of a prompt" if budget is None else f"all {budget} solutions"
        notes.append(
            f"at temperature 0 {several} would be the same; they were sampled at the "
            f"calibrated temperature {calibrated.temperature}"
        )
    for name, value in given.items():
        if not finite(value):
            raise InputError(name, value, "must be a finite number")
    try:
        settings = SamplingSettings.model_validate(calibrated.model_dump() | given)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(str(first["loc"][0]), first["input"], first["msg"]) from None
    greedy = settings.temperature == 0
    for name in CALIBRATED:
        used, known = getattr(settings, name), getattr(calibrated, name)
        if used != known and not greedy:
            notes.append(f"{name} is {used}; the table was calibrated at {name} {known}")
    return settings, notes


def counted(field: str, value: Any) -> int:
    """A positive integer.

    Raises:
        InputError: not an integer, not positive, or more than 32 bits hold.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not 1 <= int(value) <= LARGEST:
        raise InputError(field, value, f"must be an integer from 1 to {LARGEST}")
    return int(value)
