"""Waiting for a condition, with a deadline, in place of sleeping for a fixed time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

DEADLINE = 20.0  # seconds; a condition that holds on a busy machine holds long before
INTERVAL = 0.01  # seconds between two looks


def eventually(condition: Callable[[], Value], seconds: float = DEADLINE) -> Value:
    """Block until a condition holds.

    Args:
        condition: called again and again.
        seconds: in which it has to hold.

    Returns:
        What the condition returned, which is true.

    Raises:
        TimeoutError: it did not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        _check(deadline, seconds)
        time.sleep(INTERVAL)
    return value


async def eventually_in_loop(condition: Callable[[], Value], seconds: float = DEADLINE) -> Value:
    """The same, while the event loop goes on."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        _check(deadline, seconds)
        await asyncio.sleep(INTERVAL)
    return value


async def turns(count: int = 50) -> None:
    """Give every ready task of the event loop that many turns, without waiting on a clock."""
    for _ in range(count):
        await asyncio.sleep(0)


def _check(deadline: float, seconds: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"the condition did not hold within {seconds:g} seconds")
