"""The guides for newcomers: what docs/concepts.md and CONTRIBUTING.md name is there."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from allocator.plan import Plan
from benchmarks.concepts import BOXES
from predictors.sample import Sample
from runtime.prompt_run import PromptRun
from runtime.request import SearchStep
from runtime.solutions.beam import Beam
from tests.support.fakes import coin_run
from tests.support.paths import ROOT

GUIDES = (ROOT / "docs" / "concepts.md", ROOT / "CONTRIBUTING.md")
WORDS = (
    *("prompt", "pilot", "pass@1", "bin", "plan", "budget", "stage", "verifier", "receipt"),
    "artifact",
)
FOLDERS = "allocator|predictors|runtime|calibration|benchmarks|tests|docs"


def named(text: str) -> set[str]:
    """Files and folders that a page names, from the repository's root."""
    return set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*|\w+\.(?:py|toml)|\.ci/run)`", text))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_file_that_a_guide_names_exists(guide: Path) -> None:
    text = guide.read_text()
    found = named(text)
    assert len(found) > 20
    assert [name for name in sorted(found) if not (ROOT / name).exists()] == []
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (guide.parent / link).exists()] == []


@pytest.mark.parametrize("package", ["calibration", "runtime"])
def test_the_table_of_rooms_has_every_folder_of_a_package(package: str) -> None:
    text = GUIDES[1].read_text()
    rooms = {
        f"{package}/{folder.name}/"
        for folder in (ROOT / package).iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert rooms == set(re.findall(rf"^\| `({package}/\w+/)` \|", text, re.MULTILINE))


def test_every_word_says_where_it_lives() -> None:
    rows = re.findall(r"^\| ([\w@, ]+) \| .* \| (.*) \|$", GUIDES[0].read_text(), re.MULTILINE)
    files = {word: where for words, where in rows for word in words.split(", ")}
    assert set(WORDS) <= set(files)
    for word in WORDS:
        assert named(files[word]), f"no file for {word}"


def test_every_file_in_the_picture_exists() -> None:
    for box in BOXES.values():
        first, *others = box.file.split(", ")
        for name in (first, *(str(Path(first).parent / other) for other in others)):
            assert (ROOT / name).exists(), name


def test_functions_that_contributing_names_are_where_it_says() -> None:
    for name, file in {
        "Strategy": "allocator/plan.py",
        "SETTINGS": "allocator/plan.py",
        "plan_grid": "allocator/plan.py",
        "STRATEGIES": "runtime/strategies/__init__.py",
        "FamilyName": "runtime/verifiers/base.py",
        "FAMILIES": "runtime/verifiers/families.py",
        "recognise": "runtime/verifiers/families.py",
        "engine_kind": "runtime/engines/loading.py",
        "open_engine": "runtime/engines/loading.py",
        "MODULES": "allocator/extras.py",
        "make_verifier": "tests/support/checkpoints.py",
        "coin_run": "tests/support/fakes.py",
    }.items():
        assert f"`{name}`" in GUIDES[1].read_text()
        assert re.search(rf"^(def |class )?{name}\b", (ROOT / file).read_text(), re.MULTILINE), name


@pytest.mark.slow
def test_the_snippet_of_the_concepts_runs(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", GUIDES[0].read_text(), re.DOTALL)
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ \S", done.stdout)


def test_the_skeleton_of_a_strategy_runs(tokenizer: Any) -> None:
    text = (ROOT / "docs" / "strategies.md").read_text()
    (skeleton,) = re.findall(r"```python\n(async def my_search.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {
        **{"Beam": Beam, "PromptRun": PromptRun, "Plan": Plan, "Sample": Sample},
        **{"SearchStep": SearchStep, "Sequence": Sequence},
    }
    exec(skeleton, names)
    plan = Plan(strategy="best_of_n", n=4)
    found = asyncio.run(names["my_search"](coin_run(tokenizer), plan, ()))
    assert len(found) == 2
