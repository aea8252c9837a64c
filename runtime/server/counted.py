"""Requests counted by endpoint and status, beside what the solver counts."""

from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Counted:
    """Counts every request as its answer begins.

    Args:
        app: what answers.
        registry: where the counter joins others.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "http_requests",
            "HTTP requests, by endpoint and status",
            ("endpoint", "status"),
            namespace="ttc",
            registry=registry,
        )

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
