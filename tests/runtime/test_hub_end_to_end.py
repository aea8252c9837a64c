"""An artifact pushed to the Hub and used from there by name, its models too, as by another user."""

import json
import re
import shutil
from pathlib import Path

import httpx
import pytest

from benchmarks.serving.processes import ttc_serve
from benchmarks.testbed.paths import ARTIFACT, BASE, CALIBRATION_PROMPTS, PRM
from runtime.artifact import CARD, SETTINGS
from tests.support.cli import invoke, refused
from tests.support.fork_server import ForkedScript
from tests.support.hub import Hub
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

NAME, MISSING = "someone/arithmetic", "someone/missing"
MODELS = ("--model", "someone/base", "--verifier", "someone/prm")
PROMPT = "347+58*7-91"
BUDGET = ("--budget", 4, "--engine", "transformers")
GRADER = """\
import re
from pathlib import Path
Path({marker!r}).touch()
def extract(text):
    found = re.findall(r"^#(\\d+)$", text, re.M)
    return found[-1] if found else None
def same(answer, other): return int(answer) == int(other)
"""


def succeeded(*arguments: object) -> str:
    status, out, message = invoke(*arguments)
    assert status == 0, message
    return out


@pytest.fixture
def artifact(hub: Hub, tmp_path: Path) -> str:
    """The testbed's artifact on the Hub, pushed from a copy; its models are there, too."""
    hub.add_folder("someone/base", BASE)
    hub.add_folder("someone/prm", PRM)
    succeeded("push", copied(tmp_path), NAME, *MODELS)
    return NAME


def copied(tmp_path: Path, **changes: str) -> Path:
    """A copy of the testbed's artifact with other settings."""
    folder = tmp_path / "copied"
    shutil.copytree(ARTIFACT, folder)
    changes = {"model": str(BASE), "verifier": str(PRM)} | changes
    settings = json.loads((folder / SETTINGS).read_text()) | changes
    (folder / SETTINGS).write_text(json.dumps(settings))
    return folder


def test_commands_say_the_same_of_a_name_as_of_the_folder(artifact: str, tmp_path: Path) -> None:
    for command in (
        ("flops", "{}", "--parameters", "2.8e6", "--larger", "11.3e6"),
        ("diff", "{}", ROOT / "benchmarks" / "rewriting" / "artifact"),
        ("explain", "--artifact", "{}", *BUDGET, PROMPT),
        ("solve", "--artifact", "{}", *BUDGET, PROMPT),
    ):
        mine, theirs = (
            succeeded(*(str(part).format(each) for part in command))
            for each in (ARTIFACT, artifact)
        )
        assert re.sub(r'"seconds":[\d.e-]+', "", mine) == re.sub(r'"seconds":[\d.e-]+', "", theirs)
    told = re.search(r"That is ([\d.]+) ", succeeded("inspect", artifact))
    assert told is not None
    assert "No differences" in succeeded("diff", artifact, ARTIFACT)
    assert "give a file" in refused("report", artifact)
    succeeded("report", artifact, "--out", tmp_path / "page.html")
    assert f"{told[1]} times fewer" in (tmp_path / "page.html").read_text()


OF_ARTIFACTS = {
    "solve": ["solve", "--artifact", MISSING, *BUDGET, "1+1"],
    "explain": ["explain", "--artifact", MISSING, *BUDGET, "1+1"],
    "bench": ["bench", CALIBRATION_PROMPTS, "--artifact", MISSING],
    "bench of a log": ["bench", "--from-logs", CALIBRATION_PROMPTS, "--artifact", MISSING],
    "serve": ["serve", "--artifact", MISSING],
    "attach": ["attach", MISSING, "--out", "out/x", "--model", "someone/base"],
    "report": ["report", MISSING],
    "inspect": ["inspect", MISSING],
    "diff": ["diff", ARTIFACT, MISSING],
    "flops": ["flops", MISSING, "--larger", "11.3e6"],
}


@pytest.mark.parametrize("command", OF_ARTIFACTS.values(), ids=OF_ARTIFACTS)
def test_every_command_looks_for_an_artifact_on_the_hub(hub: Hub, command: list[object]) -> None:
    message = " ".join(refused(*command).split())
    assert "no such folder, and the Hub has no such repository" in message
    assert f"GET /api/models/{MISSING}/revision/main" in hub.requests


def test_a_grader_runs_for_those_who_name_its_artifact(hub: Hub, tmp_path: Path) -> None:
    hub.add_folder("someone/base", BASE)
    hub.add_folder("someone/prm", PRM)
    marker = tmp_path / "it-was-run"
    folder = copied(tmp_path, answers="python:../mine.py")
    (tmp_path / "mine.py").write_text(GRADER.format(marker=str(marker)))
    succeeded("push", folder, NAME, *MODELS, "--grader")
    command = ("solve", "--artifact", NAME, *BUDGET, "--force", PROMPT)
    commit = hub.repositories[NAME].branches["main"]
    message = "".join(refused(*command).split())
    assert f"--trust-grader{NAME}@{commit}" in message
    serve = ("serve", "--artifact", NAME, "--force", "--trust-grader", "someone/else")
    assert f"--trust-grader{NAME}" in "".join(refused(*serve).split())
    assert not marker.exists()
    out = succeeded(*command, "--trust-grader", f"{NAME}@{commit}")
    assert json.loads(out)["answer"].isdecimal()
    assert marker.exists()


def test_another_process_serves_a_commit_by_its_name(
    hub: Hub, artifact: str, tmp_path: Path
) -> None:
    commit = hub.repositories[NAME].branches["main"]
    hub.add(NAME, {"table.json": b"damaged"})
    environment = hub.environment(tmp_path / "home")
    named = f"{artifact}@{commit}"
    with ttc_serve("transformers", environment=environment, artifact=named) as serving:
        body = {"model": "someone/base", "prompt": PROMPT, "ttc": {"budget": 4}}
        names = httpx.get(f"{serving.url}/v1/models").json()["data"]
        body["model"] = names[0]["id"]
        reply = httpx.post(f"{serving.url}/v1/completions", json=body, timeout=60).json()
    assert reply["ttc"]["receipt"]["generations"] <= 4
    assert "#" in reply["choices"][0]["text"]


@pytest.mark.vllm
def test_the_program_of_the_card_runs_as_it_stands(hub: Hub, artifact: str, tmp_path: Path) -> None:
    card = hub.repositories[NAME].files()[CARD].decode()
    (program,) = re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)
    script = tmp_path / "program.py"
    script.write_text(program.replace("your prompt", PROMPT))
    environment = hub.environment(tmp_path / "home")
    with ForkedScript(script, environment=environment, cwd=tmp_path) as forked:
        done = forked.completed(500)
    assert done.returncode == 0, done.stderr
    *_, answer, why = done.stdout.splitlines()
    assert answer.startswith("#")
    assert "for 16 generations" in why
