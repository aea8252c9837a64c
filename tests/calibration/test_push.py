"""What ``ttc push`` publishes, and what it refuses; with huggingface_hub's own client."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.testbed.paths import ARTIFACT, BASE, PRM
from calibration.report.card import PICTURE
from runtime.artifact import CARD, SAMPLES, SETTINGS, Artifact, artifact_folder
from tests.support.cli import invoke, refused
from tests.support.hub import Hub
from tests.support.summaries import artifact, minimal_summary, minimal_table

pytestmark = pytest.mark.slow

NAME = "someone/arithmetic"
MODELS = ("--model", "someone/base", "--verifier", "someone/prm")
NAMED = {"model": "someone/base", "verifier": "someone/prm"}


@pytest.fixture
def made(tmp_path: Path, hub: Hub) -> Path:
    """The testbed's artifact with samples and leftovers; its models are on the Hub, too."""
    folder = tmp_path / "made"
    shutil.copytree(ARTIFACT, folder)
    settings = json.loads((folder / SETTINGS).read_text())
    local = {"model": str(BASE), "verifier": str(PRM)}
    (folder / SETTINGS).write_text(json.dumps(settings | local))
    (folder / SAMPLES).write_bytes(b"PAR1 everything that was sampled")
    for name in ("report.html", "notes.txt", "secret.env"):
        (folder / name).write_text("of no one's business")
    hub.add_folder("someone/base", BASE)
    hub.add_folder("someone/prm", PRM)
    return folder


def pushed(*arguments: object) -> str:
    """What a push that succeeds says."""
    status, out, message = invoke("push", *arguments)
    assert (status, out) == (0, ""), message
    return message


def test_what_an_artifact_is_read_from_is_published_and_nothing_else(
    hub: Hub, made: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in made.rglob("*")}
    message = pushed(made, NAME, *MODELS)
    repository = hub.repositories[NAME]
    files, commit = repository.files(), repository.branches["main"]
    assert set(files) == {p.name for p in ARTIFACT.iterdir()} | {CARD, ".gitattributes"}
    assert f"Pushed {len(files) - 1} files to {NAME}." in message
    assert f"Next: ttc serve --artifact {NAME}@{commit}" in message
    assert not repository.private
    assert repository.messages == ["initial commit", "Push a ttc-allocator artifact"]
    settings = json.loads(files[SETTINGS])
    assert {which: settings[which] for which in NAMED} == NAMED
    assert not [name for name, content in files.items() if str(tmp_path).encode() in content]
    assert {path: path.read_bytes() for path in made.rglob("*")} == before


def test_what_was_pushed_is_loaded_with_the_models_that_it_names(hub: Hub, made: Path) -> None:
    pushed(made, NAME, *MODELS)
    there, here = Artifact.load(NAME), Artifact.load(made)
    assert there.settings.model_dump() == here.settings.model_dump() | NAMED
    assert there.foreign == ()
    assert there.policy.table == here.policy.table
    assert there.difficulty.keys() == here.difficulty.keys()


def test_samples_are_published_only_when_requested(hub: Hub, made: Path) -> None:
    pushed(made, NAME, *MODELS, "--samples")
    assert hub.repositories[NAME].files()[SAMPLES] == (made / SAMPLES).read_bytes()
    assert (artifact_folder(NAME) / SAMPLES).is_file()
    pushed(made, NAME, *MODELS)  # the next one removes them again
    assert SAMPLES not in hub.repositories[NAME].files()
    (made / SAMPLES).unlink()
    assert f"it has no {SAMPLES}" in refused("push", made, NAME, *MODELS, "--samples")


def test_another_push_removes_what_the_last_artifact_left(hub: Hub, made: Path) -> None:
    pushed(made, NAME, *MODELS)
    kept = {"LICENSE": b"theirs", "notes/table.json": b"theirs"}
    hub.add(NAME, hub.repositories[NAME].files() | kept)
    for file in made.glob("difficulty-8.*"):
        file.unlink()
    (made / PICTURE).write_bytes(b"PNG")
    pushed(made, NAME, *MODELS, "--message", "Fewer pilots")
    repository = hub.repositories[NAME]
    files = repository.files()
    assert not [name for name in files if name.startswith("difficulty-8")]
    assert files.items() >= kept.items()
    assert files[PICTURE] == b"PNG"
    assert f"({PICTURE})" in files[CARD].decode()
    assert repository.messages[-1] == "Fewer pilots"
    count = len(repository.commits)
    assert f"@{repository.branches['main']}" in pushed(made, NAME, *MODELS)
    assert len(repository.commits) == count  # nothing had changed


def test_a_revision_is_a_branch(hub: Hub, made: Path) -> None:
    pushed(made, NAME, *MODELS)
    (made / "latency.json").unlink()
    for _ in range(2):  # a branch that is new, and one that is there
        pushed(made, f"{NAME}@next/one", *MODELS)
    repository = hub.repositories[NAME]
    assert "latency.json" in repository.files()
    assert "latency.json" not in repository.files("next/one")
    assert f"'{NAME}@next/one'" in repository.files("next/one")[CARD].decode()


def test_a_private_one_is_never_public(hub: Hub, made: Path) -> None:
    pushed(made, NAME, *MODELS, "--private")
    assert hub.repositories[NAME].private
    hub.add("someone/public", {"LICENSE": b""})
    message = refused("push", made, "someone/public", *MODELS, "--private")
    assert "exists and is public" in message
    assert set(hub.repositories["someone/public"].files()) == {"LICENSE"}


def test_the_licence_is_kept_in_the_card(hub: Hub, made: Path) -> None:
    pushed(made, NAME, *MODELS, "--license", "apache-2.0")
    for _ in range(2):
        assert "\nlicense: apache-2.0\n" in hub.repositories[NAME].files()[CARD].decode()
        pushed(made, NAME, *MODELS)
    message = refused("push", made, NAME, *MODELS, "--license", "none at all")
    assert '"license" must be one of' in message
    assert "\nlicense: apache-2.0\n" in (made / CARD).read_text()


def test_a_model_that_is_a_folder_must_be_named(hub: Hub, made: Path) -> None:
    known = set(hub.repositories)
    for options, words in (
        ((), ("model:", str(BASE), "hf upload", "--model OWNER/NAME")),
        (MODELS[:2], ("verifier:", str(PRM), "--verifier OWNER/NAME")),
        ((*MODELS, "--reviser", "someone/base"), ("reviser:", "there is none", "--reviser out")),
        (("--model", "someone/missing", *MODELS[2:]), ("model:", "no such repository")),
        (("--model", "someone/prm", *MODELS[2:]), ("model:", "config.json is not that of")),
    ):
        message = refused("push", made, NAME, *options)
        assert [word for word in words if word not in message] == []
    assert set(hub.repositories) == known


def test_a_model_of_other_weights_or_with_more_of_them_is_another(hub: Hub, made: Path) -> None:
    files = hub.repositories["someone/base"].files()
    weights = {"model.safetensors": files["model.safetensors"] + b"?"}
    for name, changes, file in (
        ("someone/tuned", weights, "model.safetensors"),
        ("someone/twice", {"pytorch_model.bin": b"x"}, "pytorch_model.bin"),
    ):
        hub.add(name, files | changes)
        message = refused("push", made, NAME, "--model", name, *MODELS[2:])
        assert f"its {file} is not that of" in message
    hub.add("someone/same", files | {"README.md": b"another card"})
    pushed(made, NAME, "--model", "someone/same", *MODELS[2:])


def test_models_of_the_hub_keep_their_names(hub: Hub, made: Path) -> None:
    settings = json.loads((made / SETTINGS).read_text()) | NAMED
    (made / SETTINGS).write_text(json.dumps(settings))
    message = refused("push", made, NAME, "--model", "someone/base")
    assert "names someone/base already" in message
    pushed(made, NAME)
    card = hub.repositories[NAME].files()[CARD].decode()
    assert "\nbase_model: someone/base\n" in card


def test_a_grader_is_published_only_when_requested(hub: Hub, made: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def extract(text): ...\ndef same(a, b): ...\n")
    settings = json.loads((made / SETTINGS).read_text()) | {"answers": "python:../mine.py"}
    (made / SETTINGS).write_text(json.dumps(settings))
    assert "publish it too with --grader" in refused("push", made, NAME, *MODELS)
    pushed(made, NAME, *MODELS, "--grader")
    files = hub.repositories[NAME].files()
    assert files["mine.py"] == (tmp_path / "mine.py").read_bytes()
    assert json.loads(files[SETTINGS])["answers"] == "python:mine.py"
    assert f"--trust-grader {NAME}" in files[CARD].decode()
    assert not list(artifact_folder(NAME).rglob("*.py"))
    (tmp_path / "mine.py").rename(tmp_path / "other.py")
    assert "grader.py" in refused("push", made, NAME, *MODELS, "--grader")


def test_an_artifact_made_from_logs_needs_no_models(hub: Hub, tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", minimal_summary(), minimal_table())
    assert "made from logs" in refused("push", folder, NAME, *MODELS)
    assert "made from logs" in refused("push", folder, NAME, "--grader")
    pushed(folder, NAME)
    files = hub.repositories[NAME].files()
    assert set(files) == {".gitattributes", CARD, "summary.json", "table.json"}
    assert f"ttc attach {NAME}" in files[CARD].decode()


def test_what_cannot_be_pushed_is_refused(
    hub: Hub, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("arithmetic", "./someone/x", "https://huggingface.co/someone/x"):
        assert "must be OWNER/NAME" in refused("push", made, name, *MODELS)
    assert "must not be empty" in refused("push", made, NAME, *MODELS, "--message", "")
    assert "make one with ttc calibrate" in refused("push", tmp_path, NAME)
    assert "is no Python file" in refused("push", made, NAME, *MODELS, "--grader")
    (made / CARD).write_text("---\n[unclosed\n---\n")
    assert "its metadata cannot be read" in refused("push", made, NAME, *MODELS)
    (made / CARD).unlink()
    known = set(hub.repositories)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    assert "log in with hf auth login" in refused("push", made, NAME, *MODELS)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    # It tries again five times, and waits ever longer before.
    without_waiting = SimpleNamespace(sleep=lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.utils._http.time", without_waiting)
    assert "the Hub cannot be used" in refused("push", made, NAME, *MODELS)
    assert set(hub.repositories) == known
