"""The endpoints that show and change the artifacts in service."""

from typing import Any

from fastapi import FastAPI, Request

from runtime.server.auth import owner_of
from runtime.server.document import ServedArtifacts
from runtime.server.errors import ApiError
from runtime.server.policies import Policies
from runtime.server.reload import Reloader, ReloadRequest
from runtime.server.settings import ServeSettings


def add_policies(
    app: FastAPI, settings: ServeSettings, policies: Policies, reloader: Reloader | None
) -> None:
    """Add them.

    Args:
        app: the application.
        settings: the server's.
        policies: the artifacts in service.
        reloader: changes them; None adds no endpoint that does.
    """
    admins = {owner_of(key.get_secret_value()) for key in settings.admin_keys}

    @app.get("/v1/artifacts", response_model=ServedArtifacts)
    async def artifacts() -> dict[str, Any]:
        """The artifacts in service, and what each has answered."""
        return policies.to_json()

    if reloader is None:
        return

    # For operators, not for clients: it is not in the document that clients are made from.
    @app.post("/v1/reload", include_in_schema=False)
    async def reload(request: Request, body: ReloadRequest) -> dict[str, Any]:
        """Put another artifact into service."""
        if settings.keys and request.state.record.owner not in admins:
            hint = "this key may not change the artifact; use an admin key of this server"
            raise ApiError(403, hint)
        return await reloader.reload(body.artifact, body.share)
