"""The README says what was measured, and its snippets run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from benchmarks.readme import README, ROOT, render

TEXT = README.read_text()


def test_the_readme_has_the_measured_figures() -> None:
    assert render(TEXT) == TEXT
    assert "| compute-optimal, predicted bins |" in TEXT


def test_the_python_snippet_runs_as_it_stands(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_every_command_line_of_the_readme_parses() -> None:
    commands = re.findall(r"^ttc .*?(?:[^\\]$)", TEXT, re.MULTILINE | re.DOTALL)
    assert len(commands) >= 5
    for command in commands:
        name, *rest = shlex.split(command.replace("\\\n", " "))[1:]
        names = [name, rest[0]] if name == "train" else [name]
        shown = subprocess.run(
            [sys.executable, "-m", "calibration.cli", *names, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for option in (part for part in rest if part.startswith("--")):
            assert option in shown, f"ttc {name} has no {option}"
