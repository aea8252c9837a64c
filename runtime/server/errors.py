"""Errors of the server, and the JSON that OpenAI's clients read of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

from allocator.errors import InputError, ModelError
from runtime.engines.servers import RefusedError
from runtime.frontend.fields import input_error

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    499: "client_closed_request",
    503: "service_unavailable_error",
    504: "timeout_error",
}

FINAL = {"x-should-retry": "false"}  # OpenAI's clients retry every other status of 500 and above


class ApiError(Exception):
    """A request that cannot be served.

    Args:
        status: HTTP status.
        message: what is wrong, and what to do about it.
        param: the field that is wrong; None if no field is.
        headers: headers of the response, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that OpenAI's clients read."""
        kind = TYPES.get(self.status, "server_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": None}
        return {"error": error}


def as_api_error(error: Exception) -> ApiError:
    """An error as HTTP: bad input is 400, a failed model 503, anything else 500.

    What the model's servers refuse is 502, and not to be retried: they would refuse it again.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InputError):
        return ApiError(400, str(error), error.field)
    if isinstance(error, RefusedError):
        return ApiError(502, str(error), headers=FINAL)
    if isinstance(error, ModelError):
        return ApiError(503, str(error), headers={"Retry-After": "5"})
    return ApiError(500, "the server failed on this request; see its log")


def as_response(error: ApiError) -> JSONResponse:
    """The HTTP response to a request that cannot be served."""
    return JSONResponse(error.body, error.status, error.headers)


def refusal(errors: Sequence[Any]) -> ApiError:
    """The first of pydantic's errors on a request: its field, its value and a hint."""
    first = errors[0]
    place = first["loc"][1:] if first["loc"][0] in ("body", "header", "query") else first["loc"]
    cause = first.get("ctx", {}).get("error")
    if not place and not isinstance(cause, InputError):
        hint = "send a JSON object, as Content-Type: application/json"
        return ApiError(400, f"the body cannot be read: {cause or hint}")
    return as_api_error(input_error([{**first, "loc": place}]))
