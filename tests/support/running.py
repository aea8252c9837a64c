"""What the fixture `run` is."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

# Runs a coroutine in the event loop of the session, and returns what it returns.
Run = Callable[[Coroutine[Any, Any, Result]], Result]
