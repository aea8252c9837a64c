"""The command line as tests call it: its options, how it ends, and what it prints."""

import re
import shutil
from pathlib import Path

from rich.console import Console
from typer.testing import CliRunner

from benchmarks.testbed.paths import ARTIFACT, BASE, PRM, SETTINGS
from calibration.cli.app import app
from runtime.artifact import SAMPLES, load_settings
from runtime.artifact import SETTINGS as SETTINGS_FILE

MODELS = ["--model", str(BASE), "--verifier", str(PRM), "--engine", "transformers"]
TASK = ["--answers", SETTINGS.answers, "--step-end", r"\n", "--max-tokens", "160"]


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def is_shown(option: str, help_text: str) -> bool:
    """Whether a command's help has an option, and not only one that begins with its name."""
    return re.search(rf"{re.escape(option)}(?![\w-])", help_text) is not None


def refused(*arguments: object) -> str:
    """The message of a refusal, which has exit status 2 and prints no answer."""
    status, out, message = invoke(*arguments)
    assert status == 2, message
    assert out == ""
    assert "error:" in message
    return message


def solve(*arguments: object, artifact: Path = ARTIFACT) -> list[object]:
    return ["solve", "--artifact", artifact, "--engine", "transformers", *arguments]


def copied_artifact(tmp_path: Path, **changes: str) -> Path:
    """The committed artifact with other settings."""
    folder = tmp_path / "artifact"
    shutil.copytree(ARTIFACT, folder, ignore=shutil.ignore_patterns(SAMPLES))
    absolute = {"model": str(BASE), "verifier": str(PRM)} | changes
    settings = load_settings(ARTIFACT).model_copy(update=absolute)
    (folder / SETTINGS_FILE).write_text(settings.model_dump_json())
    return folder


def assert_readable(text: str) -> None:
    """Nothing is cut off, no line is longer than 80, and nothing is coloured."""
    assert text
    assert "…" not in text
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if len(line) > 80] == []


def rendered(*parts: object) -> str:
    """The parts as they are written to a file."""
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return capture.get()
