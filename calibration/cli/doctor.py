"""``ttc doctor``: what is installed, and what is wrong, in plain words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from allocator.errors import InputError
from calibration.cli.console import new_table, reports_errors, write_answer
from calibration.doctor.artifact import ArtifactFound, ModelFound
from calibration.doctor.diagnosis import Diagnosis, diagnose
from calibration.doctor.machine import GIB


@reports_errors
def doctor(
    artifact: Annotated[
        Path | None, typer.Option(help="calibrated artifact folder, examined with its models")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
) -> None:
    """Versions, devices, whether vLLM imports and an artifact fits; and what is wrong.

    Nothing is downloaded, and no model is loaded. Exit status 1 if something is wrong.
    """
    if artifact is not None and not artifact.is_dir():
        raise InputError("artifact", str(artifact), "there is no such folder")
    found = diagnose(artifact)
    write_answer(*([found.model_dump_json(indent=1) + "\n"] if json else shown(found)))
    if found.problems:
        raise typer.Exit(1)


def shown(found: Diagnosis) -> Iterator[RenderableType]:
    """A diagnosis for people: tables, and what is wrong."""
    yield _installed(found)
    yield _machine(found)
    if found.artifact is not None:
        yield _artifact(found.artifact)
    if not found.problems:
        yield "\nNothing is wrong.\n"
        return
    wrong = _list("What is wrong")
    for number, problem in enumerate(found.problems, start=1):
        wrong.add_row(f"{number}.", escape(problem))
    yield wrong


def _list(title: str) -> Table:
    """A table of two columns without heads."""
    table = new_table(title, "", "")
    table.show_header = False
    return table


def _installed(found: Diagnosis) -> Table:
    table = new_table("Installed", "package", "version", "")
    table.add_row("Python", found.python, "")
    for name, version in found.versions.items():
        module = name.removesuffix("-cpu")
        state = "imports" if found.imports.get(module) is None else "does not import"
        table.add_row(name, version, state if module in found.imports else "")
    for present, words in ((True, "extras here"), (False, "extras not here")):
        names = [name for name, here in found.extras.items() if here == present]
        table.add_row(words, ", ".join(names) or "none", "")
    return table


def _machine(found: Diagnosis) -> Table:
    table = _list("Machine")
    table.add_row("processor", escape(found.machine))
    table.add_row("memory", str(found.memory or "unknown"))
    built = "torch is built for the CPU" if found.imports["torch"] is None else "unknown"
    table.add_row("CUDA", found.cuda or built)
    for gpu in found.gpus:
        table.add_row("GPU", escape(f"{gpu.name}, {gpu}"))
    if not found.gpus:
        table.add_row("GPU", "none that torch can use")
    for disk in found.disks:
        table.add_row("disk", escape(f"{disk.free / GIB:.1f} GiB free in {disk.path} ({disk.use})"))
    return table


def _artifact(found: ArtifactFound) -> Table:
    table = _list("Artifact")
    table.add_row("folder", escape(str(found.folder)))
    table.add_row("files", "all load" if found.loads else "do not all load")
    if found.from_logs:
        table.add_row("models", "none: it was made from logs; ttc attach gives it models to run")
    for which, model in found.models.items():
        table.add_row(which.replace("_", " "), escape(_model(model)))
    return table


def _model(found: ModelFound) -> str:
    if found.folder is None:
        return f"{found.name}: not here"
    figures = {
        "parameters": found.parameters,
        "tokens of context": found.context,
        "tokens in its vocabulary": found.vocabulary,
    }
    known = [f"{figure:,} {name}" for name, figure in figures.items() if figure is not None]
    return ": ".join([found.name, ", ".join(known)] if known else [found.name])
