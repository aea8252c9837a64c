"""What releases and reports rely on: the version, types, CI's workflow and the issue forms."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GITHUB = ROOT / ".github"
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
PAGES = (ROOT / "SECURITY.md", ROOT / "docs" / "releasing.md")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def test_the_version_stands_in_one_place_and_the_changelog_has_it() -> None:
    version = PROJECT["project"]["version"]
    (newest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == version
    packages = [ROOT / pattern.rstrip("*") for pattern in included()]
    files = [ROOT / "ttc_allocator.py", *(f for p in packages for f in p.rglob("*.py"))]
    assert len(files) > 200
    assert [file for file in files if f'"{version}"' in file.read_text()] == []


def included() -> list[str]:
    found: list[str] = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    return found


def test_every_package_says_that_it_is_typed() -> None:
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["*"]
    for pattern in included():
        assert (ROOT / pattern.rstrip("*") / "py.typed").is_file()


def test_ci_on_github_runs_what_ci_runs_and_builds_distributions_and_site() -> None:
    jobs = read(GITHUB / "workflows" / "ci.yml")["jobs"]
    assert commands(jobs["check"]) == ".ci/run"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    built = commands(jobs["wheel"])
    assert "python -m build" in built
    assert built.index("python -m build") < built.index("dist/*.whl")
    assert commands(jobs["site"]) == "make tutorials site"
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    pythons = [
        step["with"]["python-version"]
        for job in jobs.values()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert pythons == [least] * len(jobs)


@pytest.mark.parametrize("form", [f for f in FORMS if f.stem != "config"], ids=lambda f: f.stem)
def test_an_issue_form_asks_for_what_ttc_doctor_says(form: Path) -> None:
    read_form = read(form)
    assert {"name", "description", "body"} <= read_form.keys()
    fields = {part["id"]: part for part in read_form["body"] if part["type"] != "markdown"}
    assert len(fields) == len([p for p in read_form["body"] if p["type"] != "markdown"])
    assert fields["doctor"]["attributes"]["label"] == "Output of ttc doctor"
    assert fields["doctor"]["attributes"]["render"] == "text"


def test_reports_of_bugs_must_have_it() -> None:
    fields = {part.get("id"): part for part in read(GITHUB / "ISSUE_TEMPLATE" / "bug.yml")["body"]}
    assert fields["doctor"]["validations"] == {"required": True}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    named = re.findall(r"`((?:\.github|\.ci|allocator|docs)/[\w./]+|\w+\.(?:md|toml))`", text)
    assert links or named
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [name for name in named if not (ROOT / name).exists()] == []
