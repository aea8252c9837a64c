"""Requests counted by endpoint and status."""

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Counted:
    """Counts every request as its answer begins.

    Args:
        app: what answers.
        requests: the counter, with an endpoint and a status for labels.
    """

    def __init__(self, app: ASGIApp, requests: Counter) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Paths that are none of ours share one label: anybody can ask for any.
                endpoint = getattr(scope.get("route"), "path", "other")
                self._requests.labels(endpoint, message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counting)
