"""Errors of requests, in the class in which vLLM raises its own."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from allocator.errors import InputError


@lru_cache(1)
def request_error() -> type[InputError]:
    """The class: an InputError that is a VLLMValidationError as well. It needs vLLM."""
    from vllm.exceptions import VLLMValidationError

    class RequestError(InputError, VLLMValidationError):  # type: ignore[misc]
        """A request that cannot be used; `parameter` is the field, as in vLLM."""

        def __init__(self, field: str, value: object, hint: str) -> None:
            super().__init__(field, value, hint)
            self.parameter = field

        __str__ = Exception.__str__  # vLLM's would add the field and the value again

    return RequestError


@contextmanager
def vllm_errors() -> Iterator[None]:
    """Raise what the block, or the method that this decorates, refuses so that callers may catch
    it as vLLM's, where vLLM is installed."""
    try:
        yield
    except InputError as error:
        if importlib.util.find_spec("vllm") is None or isinstance(error, request_error()):
            raise
        raise request_error()(error.field, error.value, error.hint) from error
