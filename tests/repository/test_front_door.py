"""The front door: what it exports, what importing it loads, and packages that others shadow."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ttc_allocator
from tests.support.paths import ROOT

PACKAGES = ("allocator", "predictors", "runtime", "calibration")
IMPORTED = "import ttc_allocator, allocator; print(allocator.__file__)"
# Finds the library in the folder of the first argument, after all else, as editable installs do.
EDITABLE = """
import sys
from importlib.util import spec_from_file_location
from pathlib import Path

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        home = Path(sys.argv[1])
        for file in (home / f"{name}.py", home / name / "__init__.py"):
            if file.is_file():
                return spec_from_file_location(name, file)

sys.meta_path.append(Finder)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the front door and the four packages' own files, as a wheel puts them."""
    folder = tmp_path / "site-packages"
    for package in PACKAGES:
        (folder / package).mkdir(parents=True)
        shutil.copy(ROOT / package / "__init__.py", folder / package)
    shutil.copy(ROOT / "ttc_allocator.py", folder)
    return folder


@pytest.fixture
def shadow(tmp_path: Path) -> Path:
    """A folder for modules that are not the library's."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    return folder


def imported(code: str, *path: Path, cwd: Path = ROOT) -> tuple[int, str, str]:
    """Exit status and output of `code`, run with `path` first on sys.path and no other packages."""
    setup = f"import sys; sys.path[:0] = {[str(folder) for folder in path]!r}\n"
    command = [sys.executable, "-I", "-S", "-c", setup + code, *map(str, path[-1:])]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout.strip(), done.stderr


def make(folder: Path, package: str, kind: str) -> Path:
    """Make a module that is not the library's; the path that messages name."""
    if kind == "module":
        (folder / f"{package}.py").write_text("")
        return folder / f"{package}.py"
    (folder / package).mkdir()
    if kind == "folder":
        return folder / package
    (folder / package / "__init__.py").write_text("")
    return folder / package / "__init__.py"


def refused(found: tuple[int, str, str], package: str, theirs: Path, home: Path) -> None:
    """That the import ended in an ImportError that names both paths."""
    status, out, err = found
    assert (status, out) == (1, "")
    message = err.splitlines()[-1]
    assert message.startswith("ImportError: ttc_allocator")
    assert repr(package) in message
    assert str(theirs) in message
    assert str(home / package) in message


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("kind", ["package", "module"])
def test_a_module_that_shadows_a_package_is_named(
    package: str, kind: str, site: Path, shadow: Path
) -> None:
    theirs = make(shadow, package, kind)
    refused(imported(IMPORTED, shadow, site), package, theirs, site)


@pytest.mark.parametrize("kind", ["package", "module", "folder"])
def test_modules_later_on_the_path_do_not_matter(kind: str, site: Path, shadow: Path) -> None:
    make(shadow, "allocator", kind)
    status, out, err = imported(IMPORTED, site, shadow)
    assert (status, out, err) == (0, str(site / "allocator" / "__init__.py"), "")


def test_a_folder_without_init_does_not_shadow_an_installed_package(
    site: Path, shadow: Path
) -> None:
    make(shadow, "runtime", "folder")
    status, out, err = imported(IMPORTED, shadow, site)
    assert (status, out, err) == (0, str(site / "allocator" / "__init__.py"), "")


@pytest.mark.parametrize("kind", ["package", "module", "folder"])
def test_anything_on_the_path_shadows_an_editable_install(
    kind: str, site: Path, shadow: Path
) -> None:
    code = f"sys.path.remove({str(site)!r})\n{EDITABLE}"
    status, out, err = imported(f"{code}\n{IMPORTED}", shadow, site)
    assert (status, out, err) == (0, str(site / "allocator" / "__init__.py"), "")
    theirs = make(shadow, "runtime", kind)
    refused(imported(f"{code}\n{IMPORTED}", shadow, site), "runtime", theirs, site)


def test_a_module_that_was_imported_before_is_named(site: Path, shadow: Path) -> None:
    theirs = make(shadow, "runtime", "package")
    code = f"import runtime; sys.path.remove({str(shadow)!r})\n{IMPORTED}"
    refused(imported(code, shadow, site), "runtime", theirs, site)


def test_a_missing_package_is_named(site: Path, shadow: Path) -> None:
    shutil.rmtree(site / "predictors")
    status, _, err = imported(IMPORTED, site)
    assert status == 1
    assert str(site / "predictors") in err.splitlines()[-1]
    theirs = make(shadow, "predictors", "package")
    refused(imported(IMPORTED, site, shadow), "predictors", theirs, site)


def test_a_distribution_that_overwrote_a_package_is_named(site: Path) -> None:
    record = site / "runtime-1.0.dist-info" / "RECORD"
    record.parent.mkdir()
    line = "runtime/__init__.py,sha256={},0\n"
    record.write_text(line.format("something-else"))
    assert imported(IMPORTED, site)[0] == 0, "its file was overwritten by ours"
    (site / "runtime" / "__init__.py").write_text("")
    record.write_text(line.format("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"))
    refused(imported(IMPORTED, site), "runtime", record.parent, site)


def test_a_folder_of_the_user_s_beside_a_script_is_named(shadow: Path) -> None:
    theirs = make(shadow, "calibration", "package")
    (shadow / "script.py").write_text("from ttc_allocator import LLM\n")
    command = [sys.executable, "script.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=shadow, env=environment, capture_output=True, text=True)
    found = done.returncode, done.stdout, done.stderr
    refused(found, "calibration", theirs, ROOT)


def test_the_command_says_the_same(shadow: Path) -> None:
    theirs = make(shadow, "calibration", "package")
    environment = os.environ | {"PYTHONPATH": str(shadow)}
    command = [str(Path(sys.executable).with_name("ttc")), "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    refused((done.returncode, done.stdout, done.stderr), "calibration", theirs, ROOT)


def test_the_command_is_the_front_door_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"ttc": "ttc_allocator:main"}


def test_importing_it_loads_nothing_heavy_and_none_of_the_packages() -> None:
    unwanted = ["torch", "vllm", "transformers", "numpy", "pydantic", "typer", *PACKAGES]
    code = (
        "import json, sys, ttc_allocator\n"
        f"print(json.dumps([name for name in {unwanted} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", ttc_allocator.__all__)
def test_every_exported_name_can_be_imported(name: str) -> None:
    assert callable(getattr(ttc_allocator, name))
    assert name in dir(ttc_allocator)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        ttc_allocator.nonsense  # noqa: B018
    with pytest.raises(ImportError, match="SamplingParams"):
        from ttc_allocator import SamplingParams  # noqa: F401


def test_the_drop_ins_are_there_under_the_names_that_they_replace() -> None:
    from runtime.dropin.async_llm import AsyncComputeOptimalLLM
    from runtime.dropin.llm import ComputeOptimalLLM
    from ttc_allocator import LLM, AsyncLLM

    assert LLM is ComputeOptimalLLM
    assert AsyncLLM is AsyncComputeOptimalLLM
