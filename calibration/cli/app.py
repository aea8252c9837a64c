"""The command line, ``ttc``. Each command has its own module."""

from importlib import metadata
from typing import Annotated

import typer

from calibration.cli.lazy import lazy_group

COMMANDS = {
    "solve": (
        "calibration.cli.solve:solve",
        "Answer prompts within a budget; JSON lines, each answer with its receipt.",
    ),
    "explain": (
        "calibration.cli.solve:explain",
        "Why a prompt gets the plan it gets: its pilots, what they say, and the other bins.",
    ),
    "demo": (
        "calibration.cli.demo:demo",
        "The whole path on the committed testbed: what allocation saves against best-of-N.",
    ),
    "train": (
        "calibration.cli.train:train_app",
        "Train a verifier or a reviser on a language model's own samples. "
        "An interrupted run resumes when it is started again.",
    ),
    "calibrate": (
        "calibration.cli.calibrate:calibrate",
        "Measure a model on graded prompts; write tables and predictor to an artifact folder.",
    ),
    "attach": (
        "calibration.cli.attach:attach",
        "Give an artifact made from logs the models to run, and compare them with the log.",
    ),
    "bench": (
        "calibration.cli.bench:bench",
        "Measure what allocation gains on graded prompts that the artifact has not seen.",
    ),
    "report": (
        "calibration.cli.artifact:report",
        "Write what calibration found as one page of HTML, its figures beside it as SVG.",
    ),
    "inspect": (
        "calibration.cli.artifact:inspect",
        "Print an artifact: its table, what it was made with, predictor, gain, warnings.",
    ),
    "diff": (
        "calibration.cli.artifact:diff",
        "Print what changed from artifact A's table to B's.",
    ),
    "push": (
        "calibration.cli.push:push",
        "Put an artifact on the Hugging Face Hub, with its card.",
    ),
    "flops": (
        "calibration.cli.flops:flops",
        "Compare thinking longer with pretraining a larger model, at equal FLOPs.",
    ),
    "serve": (
        "calibration.cli.serve:serve",
        "Serve a model through OpenAI's API, each prompt with compute by its difficulty.",
    ),
    "reload": (
        "calibration.cli.reload:reload",
        "Give a running server another artifact of the same models.",
    ),
    "doctor": (
        "calibration.cli.doctor:doctor",
        "Versions, devices, whether vLLM imports and an artifact fits; and what is wrong.",
    ),
}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    help="Allocate test-time compute to each prompt by its predicted difficulty.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        try:
            number = metadata.version("ttc-allocator")
        except metadata.PackageNotFoundError:
            number = "(not installed)"
        typer.echo(f"ttc-allocator {number}")
        raise typer.Exit


VersionOption = typer.Option(
    "--version", callback=_print_version, is_eager=True, help="print the version, and end"
)


@app.callback()
def main(version: Annotated[bool, VersionOption] = False) -> None:
    """Options of ``ttc`` itself; their callbacks run before this."""
