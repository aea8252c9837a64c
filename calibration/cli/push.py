"""``ttc push``: put an artifact on the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from allocator.errors import InputError
from calibration.cli.console import reports_errors
from calibration.progress import console
from calibration.push import files_to_push
from calibration.push import push as push_files
from calibration.report.card import write_card
from runtime.artifact.hub import HubName
from runtime.settings import MODELS

HubModel = Annotated[
    str | None, typer.Option(help="name on the Hub of a model that the artifact has as a folder")
]


@reports_errors
def push(
    folder: Annotated[Path, typer.Argument(help="calibrated artifact folder")],
    name: Annotated[
        str, typer.Argument(help="OWNER/NAME, or OWNER/NAME@BRANCH; created where it is not there")
    ],
    private: Annotated[bool, typer.Option("--private", help="in a private repository")] = False,
    message: Annotated[str, typer.Option(help="of the commit")] = "Push a ttc-allocator artifact",
    samples: Annotated[
        bool, typer.Option("--samples", help="with the samples: prompts, answers and solutions")
    ] = False,
    grader: Annotated[
        bool, typer.Option("--grader", help="with the Python file that reads answers")
    ] = False,
    licence: Annotated[
        str, typer.Option("--license", help="of the card, which keeps it: apache-2.0, for example")
    ] = "",
    model: HubModel = None,
    verifier: HubModel = None,
    reviser: HubModel = None,
    reviser_verifier: HubModel = None,
) -> None:
    """Put an artifact on the Hugging Face Hub, with its card.

    Tables, predictors and settings are published, and a README.md; samples
    and a Python grader only when requested. Models are named, not uploaded:
    one that lies in a folder must be on the Hub, and is named with --model,
    --verifier and so on. Log in first with hf auth login, or set HF_TOKEN.
    """
    parsed = HubName.parse(name)
    if parsed is None:
        raise InputError("name", name, "must be OWNER/NAME or OWNER/NAME@BRANCH")
    if not message:
        raise InputError("message", message, "must not be empty")
    given = dict(zip(MODELS, (model, verifier, reviser, reviser_verifier), strict=True))
    named = {which: hub for which, hub in given.items() if hub is not None}
    files = files_to_push(folder, parsed, named, samples=samples, grader=grader, licence=licence)
    commit = push_files(files, parsed, private=private, message=message)
    if licence:
        write_card(folder, licence)
    console.print(f"Pushed {len(files)} files to {parsed}.", soft_wrap=True, markup=False)
    console.print(
        f"Next: ttc serve --artifact {parsed.repository}@{commit}", soft_wrap=True, markup=False
    )
