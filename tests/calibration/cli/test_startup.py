"""What needs no model answers at once: none of the packages that take seconds is imported."""

import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

from benchmarks.testbed.paths import ARTIFACT, BASE, CALIBRATION_PROMPTS, PRM
from calibration.cli.app import COMMANDS, app
from calibration.cli.lazy import LazyCommand
from tests.support.paths import ROOT

OTHER = ROOT / "benchmarks" / "rewriting" / "artifact"

HEAVY = (
    *("torch", "transformers", "vllm", "sklearn", "lightgbm", "scipy", "pandas", "pyarrow"),
    *("matplotlib", "math_verify", "sympy", "fastapi", "starlette", "uvicorn", "ray", "datasets"),
    *("huggingface_hub", "aiohttp", "httpx", "joblib"),
)
# Runs a command as `ttc` does, then names the heavy modules that are there.
COUNTED = f"""
import sys
from tests.support.paths import ROOT
try:
    from calibration.cli.app import app
    app(sys.argv[1:])
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def run(*arguments: object, code: str = COUNTED) -> tuple[int, str, list[str]]:
    """Exit status, standard output, and the lines of standard error."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.splitlines()


LIGHT = {
    "help": ["--help"],
    "version": ["--version"],
    **{f"{name} help": [name, "--help"] for name in COMMANDS},
    "train prm help": ["train", "prm", "--help"],
    "inspect": ["inspect", ARTIFACT],
    "diff": ["diff", ARTIFACT, OTHER],
    "flops": ["flops", ARTIFACT, "--larger", "11.3e6"],
    "show-config": ["serve", "--artifact", ARTIFACT, "--show-config"],
}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", LIGHT.values(), ids=LIGHT)
def test_a_command_that_needs_no_model_imports_nothing_heavy(arguments: list[object]) -> None:
    status, out, err = run(*arguments)
    assert status == 0, err
    assert out
    assert err == ["[]"]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_help_has_what_would_be_taken_for_markup_and_left_out(name: str) -> None:
    loaded = LazyCommand(name, *COMMANDS[name]).load()
    commands = getattr(loaded, "commands", {name: loaded}).values()
    helps = [option.help for command in commands for option in command.params]
    assert helps
    assert not [text for text in helps if re.search(r"\[[a-z#/@]", text or "")]


SOLVE = ["solve", "--artifact", ARTIFACT]
MODELS = ["--model", BASE, "--verifier", PRM]
GRADED = CALIBRATION_PROMPTS
BAD = {
    "option": (["solve", "--nonsense"], "--nonsense"),
    "command": (["resolve"], "resolve"),
    "inspect": (["inspect", "missing"], "missing"),
    "artifact": (["solve", "--artifact", "missing", "--budget", 4, "1+1"], "missing"),
    "no prompts": ([*SOLVE, "--budget", 4], "prompts"),
    "file": ([*SOLVE, "--budget", 4, "--file", "missing.jsonl"], "missing.jsonl"),
    "plan": ([*SOLVE, "--budget", 4, "--plan", "beam:4", "1+1"], "beam"),
    "engine": ([*SOLVE, "--budget", 4, "--engine", "llama", "1+1"], "llama"),
    "budget": ([*SOLVE, "--budget", -1, "1+1"], "-1"),
    "explain": (["explain", "--artifact", ARTIFACT, "--budget", 0, "1+1"], "budget: 0"),
    "calibrate": (["calibrate", "missing.jsonl", "--out", "out/x", *MODELS], "missing.jsonl"),
    "calibrate into": (["calibrate", GRADED, "--out", "docs", *MODELS], "docs"),
    "model": (
        [
            "calibrate",
            CALIBRATION_PROMPTS,
            "--out",
            "out/x",
            "--model",
            "./missing",
            "--verifier",
            PRM,
        ],
        "./missing",
    ),
    "bench": (["bench", "missing.jsonl", "--artifact", ARTIFACT], "missing.jsonl"),
    "bench budgets": (
        ["bench", GRADED, "--artifact", ARTIFACT, "--budgets", "7"],
        "7",
    ),
    "train": (["train", "prm", "missing.jsonl", "--model", BASE, "--out", "out/x"], "missing"),
    "serve": (["serve", "--artifact", "missing"], "missing"),
    "attach": (["attach", "missing", "--out", "out/x", *MODELS], "missing"),
    "attach again": (["attach", ARTIFACT, "--out", "out/x", *MODELS], "names its models"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD)
def test_bad_usage_is_refused_before_anything_heavy_is_imported(
    arguments: list[object], named: str
) -> None:
    status, out, (*message, imported) = run(*arguments)
    assert status == 2
    assert out == ""
    assert named in "\n".join(message)
    assert imported == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["allocator", "runtime.artifact", "runtime.solving.solve"])
def test_the_library_imports_nothing_heavy_before_a_model_is_opened(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    status, out, err = run(code=code)
    assert (status, out, err) == (0, "[]\n", [])


def test_the_version_is_the_distribution_s() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (
        0,
        f"ttc-allocator {metadata.version('ttc-allocator')}\n",
    )


def test_the_version_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, "ttc-allocator (not installed)\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    target, listed = COMMANDS[name]
    own = LazyCommand(name, target, listed).load().help
    assert " ".join(own.partition("\n\n")[0].split()) == listed


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [LIGHT["inspect"], LIGHT["show-config"]], ids=str)
def test_a_reader_that_is_gone_ends_the_command_quietly(arguments: list[object]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "calibration.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
