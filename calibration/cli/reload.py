"""``ttc reload``: another artifact for a server that runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from allocator.errors import InputError, ModelError
from calibration.cli.console import new_table, reports_errors, write_answer
from calibration.cli.options import ARTIFACT_HELP

SECONDS = 300.0  # the server may have to download the artifact


@reports_errors
def reload(
    artifact: Annotated[
        str | None, typer.Argument(help=f"{ARTIFACT_HELP}; else the server's own, read again")
    ] = None,
    url: Annotated[str, typer.Option(help="the server")] = "http://127.0.0.1:8000",
    share: Annotated[
        float,
        typer.Option(min=0, max=1, help="of the requests to try it on; 0 ends a trial"),
    ] = 1.0,
    admin_key: Annotated[
        str, typer.Option(envvar="TTC_ADMIN_KEY", help="an admin key of the server")
    ] = "",
) -> None:
    """Give a running server another artifact of the same models.

    Requests that have begun are finished by the artifact that they began
    with. It is refused, and all stays as it was, if it is damaged, of other
    models, or clearly worse than the one in service: if ttc diff finds a
    budget at which its accuracy over all prompts is lower by more than
    chance. With --share both answer; calling it again with the same
    artifact and no share lets it take over.
    """
    if artifact is not None and Path(artifact).exists():
        artifact = str(Path(artifact).resolve())  # the server may run in another folder
    body: dict[str, Any] = {"share": share} | ({} if artifact is None else {"artifact": artifact})
    found = _post(f"{url.rstrip('/')}/v1/reload", body, admin_key)
    shown = new_table("In service", "artifact", "of requests", "prompts", "generations", "right")
    trial = found["trial"]
    shares = ((found["current"], 1 - found["share"]), (trial, found["share"]))
    for served, part in (pair for pair in shares if pair[0] is not None):
        accuracy = served["accuracy"]
        shown.add_row(
            served["artifact"],
            f"{part:.0%}",
            *(str(served[name]) for name in ("prompts", "generations")),
            "" if accuracy is None else f"{accuracy:.0%}",
        )
    write_answer(shown)


def _post(url: str, body: dict[str, Any], key: str) -> Any:
    """The server's reply.

    Raises:
        InputError: it refuses.
        ModelError: it cannot be reached, or fails.
    """
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        reply = httpx.post(url, json=body, headers=headers, timeout=SECONDS)
        found = reply.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ModelError("server", f"{url} cannot be used: {error}") from None
    if reply.status_code < 400:
        return found
    message = found["error"]["message"]
    if reply.status_code < 500:
        raise InputError("reload", body.get("artifact"), message)
    raise ModelError("server", message)
