"""The README's snippets run."""

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.pages.__main__ import README, ROOT
from tests.support.cli import invoke, is_shown
from tests.support.fork_server import ForkedScript
from tests.support.serving import Api

pytestmark = pytest.mark.slow

TEXT = README.read_text()


def ran(script: Path) -> list[str]:
    with ForkedScript(script, cwd=ROOT) as forked:
        done = forked.completed(300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.vllm
def test_the_python_snippets_run_as_they_stand(api: Api, tmp_path: Path) -> None:
    wrapped, asked = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert asked.count("http://127.0.0.1:8000") == 1
    script = tmp_path / "snippet.py"
    script.write_text(wrapped)
    answers = ran(script)
    assert [answer.split()[0][0] for answer in answers] == ["#", "#"]
    script.write_text(asked.replace("http://127.0.0.1:8000", api.url))
    answer, why = ran(script)
    assert answer.startswith("#")
    assert "pass@1" in why


def test_every_command_line_of_the_readme_parses() -> None:
    commands = re.findall(r"^ttc .*?(?:[^\\]$)", TEXT, re.MULTILINE | re.DOTALL)
    assert len(commands) >= 5
    for command in commands:
        name, *rest = shlex.split(command.replace("\\\n", " "))[1:]
        names = [name, rest[0]] if name == "train" else [name]
        status, shown, _ = invoke(*names, "--help")
        assert status == 0
        for option in (part for part in rest if part.startswith("--")):
            assert is_shown(option, shown), f"ttc {name} has no {option}"
