"""What a client is told when a request cannot be served, in OpenAI's words."""

from collections.abc import Mapping
from typing import Any

from allocator.errors import InputError, ModelError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """A request that cannot be served.

    Args:
        status: HTTP status.
        message: what is wrong, and the mend.
        param: the field that is wrong; None where it is none.
        headers: headers of the answer, such as Retry-After.
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


def as_api_error(error: InputError | ModelError) -> ApiError:
    """Bad input is the client's to mend; a model that failed may be back soon."""
    if isinstance(error, InputError):
        return ApiError(400, str(error), error.field)
    return ApiError(503, str(error), headers={"Retry-After": "5"})
