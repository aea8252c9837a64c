"""docs/serving-stack.md: its program runs against a server, and its commands have their options."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from allocator.price import PriceList, PricePoint
from allocator.schedule import schedule_of
from predictors.gain_model import COLUMNS, GainModel
from runtime.artifact import GAIN_MODEL, PRICES
from tests.support.cli import invoke, is_shown
from tests.support.http_server import LoopThread, http_server
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs" / "serving-stack.md").read_text()
REPLIES = (r"It is \boxed{41}.", r"So \boxed{42}", r"6 * 7 = 42: \boxed{42}", "I do not know.")


@pytest.fixture
def served() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server of chat completions with known replies: its URL, and the requests it got."""
    app = FastAPI()
    requests: list[dict[str, Any]] = []

    @app.post("/v1/chat/completions")
    def complete(body: dict[str, Any]) -> dict[str, Any]:
        begun = sum(request["n"] for request in requests)
        requests.append(body)
        choices = [
            {
                "index": i,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": REPLIES[(begun + i) % len(REPLIES)]},
            }
            for i in range(body["n"])
        ]
        fields = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"]}
        return fields | {"choices": choices}

    thread = LoopThread()
    with thread.entered(http_server(app)) as port:
        yield f"http://127.0.0.1:{port}", requests
    thread.close()


def test_the_program_runs_as_it_stands(
    served: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    url, requests = served
    folder = tmp_path / "out" / "from_logs"
    folder.mkdir(parents=True)
    points = (PricePoint(price=0.01, generations=4, accuracy=0.5),)
    PriceList(schedule=schedule_of(8), points=points).save(folder / PRICES)
    # e^-3 (1 - k/n) for each sample more: worth 0.01 up to 4 samples.
    GainModel(weights=(-3.0, *[0.0] * (len(COLUMNS) - 1)), rho=1.0).save(folder / GAIN_MODEL)
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert program.count("http://127.0.0.1:8000") == 1
    (tmp_path / "program.py").write_text(program.replace("http://127.0.0.1:8000", url))
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "42\n", done.stderr
    assert [request["n"] for request in requests] == [1, 1, 1, 1]


def test_every_command_line_has_its_options() -> None:
    commands = re.findall(r"^ttc .*?(?:[^\\]$)", TEXT, re.MULTILINE | re.DOTALL)
    assert commands
    for command in commands:
        _, name, *rest = shlex.split(command.replace("\\\n", " "))
        status, shown, _ = invoke(name, "--help")
        assert status == 0
        for option in (part for part in rest if part.startswith("--")):
            assert is_shown(option, shown)
    for option in re.findall(r"`(--check[\w-]*|--scores|--force)", TEXT):
        assert is_shown(option, invoke("attach", "--help")[1])
