"""Sampling parameters that a caller requests, checked against calibration's: one rule for all."""

from math import isfinite
from numbers import Integral
from typing import Any

from pydantic import ValidationError

from allocator.errors import InputError
from runtime.engines.base import LARGEST, SamplingSettings

# What the table depends on; it holds for solutions of any length.
CALIBRATED = ("temperature", "top_p", "top_k", "min_p")


def sampling_for(
    calibrated: SamplingSettings,
    budget: int,
    *,
    temperature: float | None,
    top_p: float | None,
    top_k: int | None,
    min_p: float | None,
    max_tokens: int | None,
) -> tuple[SamplingSettings, list[str]]:
    """How to sample for a caller, and what the caller should know about it.

    A temperature of 0 is greedy where one solution is sampled. Several would be equal and tell
    nothing, so they are sampled at the calibrated temperature.

    Args:
        calibrated: what the artifact was calibrated with.
        budget: generations that the prompt may cost.
        temperature: as requested; None, here and below, takes calibration's.
        top_p: likewise.
        top_k: likewise; 0 and -1 are off.
        min_p: likewise.
        max_tokens: longest solution, in tokens.

    Returns:
        The settings, and a note on each that is not as requested or not as calibrated.

    Raises:
        InputError: a value out of its range.
    """
    overrides = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": 0 if top_k == -1 else top_k,
        "min_p": min_p,
        "max_tokens": max_tokens,
    }
    notes = []
    if temperature == 0 and budget > 1 and calibrated.temperature > 0:
        overrides["temperature"] = None
        notes.append(
            f"at temperature 0 all {budget} solutions would be the same; they were sampled at the "
            f"calibrated temperature {calibrated.temperature}"
        )
    given = {name: value for name, value in overrides.items() if value is not None}
    for name, value in given.items():
        if not finite(value):
            raise InputError(name, value, "give a finite number")
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


def finite(value: Any) -> bool:
    """Whether a value is a number that fits a float."""
    try:
        return isfinite(value)
    except (TypeError, OverflowError):
        return False


def counted(field: str, value: Any) -> int:
    """A number of 1 or more.

    Raises:
        InputError: it is none, or none that engines can hold.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not 1 <= int(value) <= LARGEST:
        raise InputError(field, value, f"give a whole number from 1 to {LARGEST}")
    return int(value)


def unsigned(seed: int | None) -> int | None:
    """A seed as the samplers take it: no sign, 64 bits."""
    return None if seed is None else seed % 2**64
