"""Artifacts from the Hub: what is downloaded, what is refused, and that nothing of it is run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM
from predictors.thinking_policy import THINKING
from runtime.artifact import (
    FILE_PATTERNS,
    SETTINGS,
    TABLE,
    Artifact,
    FittedPolicy,
    artifact_folder,
    load_settings,
)
from runtime.artifact.hub import HubName, hub_origin
from runtime.dropin.loading import find_artifact
from runtime.solving.stop_rule import StopRule
from runtime.solving.thinking_rule import ThinkingRule
from tests.support.hub import Hub
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

NAME = "someone/arithmetic"
THOUGHTFUL = ROOT / "benchmarks" / "thinking" / "artifact"
MARKER = "hostile-was-here"
GRADER = f"""\
from pathlib import Path
Path(__file__).with_name({MARKER!r}).touch()
def extract(text): return text.rpartition("#")[2] or None
def same(answer, other): return answer == other
"""


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def files_of_testbed(**changes: str) -> dict[str, bytes]:
    """The testbed's artifact as one on the Hub, whose models this process finds."""
    changes = {"model": str(BASE), "verifier": str(PRM)} | changes
    settings = json.loads((ARTIFACT / SETTINGS).read_text()) | changes
    return files_of(ARTIFACT) | {SETTINGS: json.dumps(settings).encode()}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b", HubName("a/b")),
        ("a-1/b.c_2@v1.0", HubName("a-1/b.c_2", "v1.0")),
        ("a/b@feature/x", HubName("a/b", "feature/x")),
        *((text, None) for text in ("a", "./a/b", "../a/b", "/a/b", "a/b/c", "a/b@", "~/a", "")),
    ],
)
def test_names(text: str, name: HubName | None) -> None:
    assert HubName.parse(text) == name
    assert name is None or str(name) == text


def test_only_the_files_of_an_artifact_are_downloaded(hub: Hub) -> None:
    others = {
        *("grader.py", "model.safetensors", "config.json", "report.html", "README.md", "x.pkl"),
        *("tokens/evil.py", "tokens/x/table.json", "settings.json.py"),
    }
    known = files_of(ARTIFACT)
    hub.add(NAME, known | dict.fromkeys(others, b"x"))
    folder = artifact_folder(NAME)
    assert files_of(folder) == known
    asked = {path.rpartition("/resolve/")[2].partition("/")[2] for path in hub.requests}
    assert not asked & others
    assert hub_origin(folder) == (NAME, hub.repositories[NAME].branches["main"])


def test_the_files_of_every_committed_artifact_are_known(tmp_path: Path) -> None:
    for artifact in (ARTIFACT, THOUGHTFUL, ROOT / "benchmarks" / "rewriting" / "artifact"):
        known = {path for pattern in FILE_PATTERNS for path in artifact.glob(pattern)}
        assert known == {path for path in artifact.rglob("*") if path.is_file()}


def test_a_revision_is_a_branch_or_a_commit(hub: Hub) -> None:
    first = hub.add(NAME, files_of(ARTIFACT))
    hub.add(NAME, {TABLE: b"second"})
    hub.add(NAME, {TABLE: b"third"}, branch="next/one")
    tables = [
        (artifact_folder(f"{NAME}{revision}") / TABLE).read_bytes()
        for revision in ("", "@main", "@next/one", f"@{first}")
    ]
    assert tables == [b"second", b"second", b"third", (ARTIFACT / TABLE).read_bytes()]


def test_a_local_folder_of_that_name_wins(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, {TABLE: b"of the Hub"})
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ARTIFACT, NAME)
    assert artifact_folder(NAME) == Path(NAME)
    assert FittedPolicy.load(NAME).folder == Path(NAME)
    assert hub_origin(Path(NAME)) is None
    assert hub.requests == []


def test_what_is_neither_is_left_to_its_reader(hub: Hub, tmp_path: Path) -> None:
    for missing in ("missing", "./out/mine", tmp_path / "missing", "a/b/c"):
        assert artifact_folder(missing) == Path(missing)
    with pytest.raises(InputError, match=r"make one with ttc calibrate"):
        Artifact.load("missing")
    assert hub.requests == []


def test_names_that_cannot_be_used_are_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, files_of(ARTIFACT))
    hub.add("someone/model", {"config.json": b"{}", "model.safetensors": b"large"})
    hub.add("someone/secret", files_of(ARTIFACT), private=True)
    assert artifact_folder("someone/secret").is_dir()
    shutil.rmtree(artifact_folder("someone/secret").parents[1])
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    for name, why in {
        "someone/missing": "no such folder, and the Hub has no such repository",
        "someone/secret": "or not for you",
        f"{NAME}@v7": "no such revision",
        "someone/model": f"no {TABLE}: it holds no artifact",
    }.items():
        with pytest.raises(InputError, match=why) as refused:
            artifact_folder(name)
        assert (refused.value.field, refused.value.value) == ("artifact", name)
    assert not [path for path in hub.requests if path.endswith("model.safetensors")]


def test_a_hub_that_cannot_be_reached(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, files_of(ARTIFACT))
    known = artifact_folder(NAME)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert artifact_folder(NAME) == known  # from the cache
    with pytest.raises(InputError, match="no such folder, and the Hub cannot be used"):
        artifact_folder("someone/else")


READERS: dict[str, tuple[Path, Callable[[str], object]]] = {
    "policy": (ARTIFACT, lambda name: FittedPolicy.load(name).policy.table.rows),
    "artifact": (ARTIFACT, lambda name: Artifact.load(name).settings.sampling),
    "dropin": (ARTIFACT, lambda name: find_artifact(BASE, name).settings.sampling),
    "stop": (THOUGHTFUL, lambda name: StopRule.load(name, average_budget=4).schedule),
    "think": (THOUGHTFUL, lambda name: ThinkingRule.load(name, average_tokens=400).policy),
}


@pytest.mark.parametrize(("source", "read"), READERS.values(), ids=READERS)
def test_every_reader_takes_a_name(hub: Hub, source: Path, read: Callable[[str], object]) -> None:
    files = files_of_testbed() if source == ARTIFACT else files_of(source)
    assert (THINKING in files) == (source == THOUGHTFUL)
    hub.add(NAME, files)
    assert read(NAME) == read(str(source))
    with pytest.raises(InputError, match="no such repository"):
        read("someone/missing")


def with_grader(hub: Hub, answers: str = "python:grader.py") -> str:
    """An artifact with a grader that leaves a file behind when it is run; its commit."""
    return hub.add(NAME, files_of_testbed(answers=answers) | {"grader.py": GRADER.encode()})


def assert_nothing_was_run(tmp_path: Path) -> None:
    assert not [*tmp_path.rglob("grader.py"), *tmp_path.rglob(MARKER)]


@pytest.mark.parametrize("trusted", ["", "someone", "someone/else", f"{NAME}@main", f"{NAME}@0"])
def test_a_grader_is_neither_downloaded_nor_run_unless_its_artifact_is_named(
    hub: Hub, tmp_path: Path, trusted: str
) -> None:
    commit = with_grader(hub)
    with pytest.raises(InputError, match=f"--trust-grader {NAME}@{commit}") as refused:
        Artifact.load(NAME, force=True, trust_grader=trusted)
    assert (refused.value.field, refused.value.value) == ("answers", "python:grader.py")
    with pytest.raises(InputError, match="--trust-grader"):
        find_artifact(artifact_folder(NAME), None, trusted)
    assert_nothing_was_run(tmp_path)


def test_a_grader_that_is_trusted_is_that_of_the_same_commit(hub: Hub, tmp_path: Path) -> None:
    commit = with_grader(hub)
    folder = artifact_folder(NAME)
    hub.add(NAME, files_of_testbed(answers="python:grader.py") | {"grader.py": b"other"})
    for trusted in (NAME, f"{NAME}@{commit}"):
        loaded = Artifact.load(folder, force=True, trust_grader=trusted)
        assert (loaded.folder / "grader.py").read_text() == GRADER
    with pytest.raises(InputError, match="--trust-grader"):  # it was trusted for that commit
        Artifact.load(NAME, force=True, trust_grader=f"{NAME}@{commit}")
    assert (Artifact.load(NAME, True, NAME).folder / "grader.py").read_bytes() == b"other"
    assert not [*tmp_path.rglob(MARKER)]


@pytest.mark.parametrize("file", ["../grader.py", "/tmp/grader.py", "sub/grader.py", "grader.sh"])
def test_a_trusted_grader_is_one_of_the_artifacts_own_files(
    hub: Hub, tmp_path: Path, file: str
) -> None:
    with_grader(hub, f"python:{file}")
    with pytest.raises(InputError, match="must be in the artifact"):
        Artifact.load(NAME, force=True, trust_grader=NAME)
    with_grader(hub, "python:missing.py")
    with pytest.raises(InputError, match="answers"):
        Artifact.load(NAME, force=True, trust_grader=NAME)
    assert_nothing_was_run(tmp_path)


def test_a_grader_of_ones_own_needs_no_trust(tmp_path: Path) -> None:
    for name, content in files_of_testbed(answers="python:grader.py").items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "grader.py").write_text(GRADER)
    assert Artifact.load(tmp_path, force=True).settings.answers == "python:grader.py"
    assert load_settings(tmp_path).answers == "python:grader.py"
