"""``ttc serve``: the OpenAI-compatible server, and its settings on the command line."""

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from allocator.extras import require
from calibration.cli.console import reports_errors, say, write_answer
from calibration.cli.options import load_artifact
from runtime.artifact import artifact_folder
from runtime.server.settings import KEYS, ServeSettings, as_toml, read_settings
from runtime.verifiers.loading import verifier_kind


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """A setting as an option; if it is not given, the environment or a file may set it."""
    kind: Any = field.annotation
    names = []
    if name in (*KEYS, "cors_origins"):  # may be given several times
        kind, names = list[str], [f"--{name[:-1].replace('_', '-')}"]
    if field.default == {}:
        kind = str
    shown = str(field.default) if not field.is_required() and field.default else False
    option = typer.Option(*names, help=field.description, show_default=shown)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one option per setting in place of ``**given``."""
    own = list(inspect.signature(command).parameters.values())[:-1]
    added = [_option(name, field) for name, field in ServeSettings.model_fields.items()]
    signature = inspect.Signature(
        [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *added]
    )
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    return command


@reports_errors
@_takes_settings
def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file of settings")] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="print the settings as TOML, and end")
    ] = False,
    **given: Any,
) -> None:
    """Serve a model through OpenAI's API, each prompt with compute by its difficulty.

    Settings come from the command line, else from the environment (TTC_PORT), else from --config.
    """
    settings = read_settings({n: value for n, value in given.items() if value is not None}, config)
    if show_config:
        write_answer(as_toml(settings))
        return
    require("server", "serve", str(settings.artifact))
    verifier_kind(settings.verifier_engine)
    args = settings.given_args()
    folder = artifact_folder(settings.artifact)
    artifact = load_artifact(folder, settings.force, settings.trust_grader, args)
    import uvloop

    from calibration.report.diff import clearly_worse
    from runtime.server.run import serve as run_server

    def ready(url: str) -> None:
        say("serving", url, "green")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_server(settings, artifact, clearly_worse, ready))
