"""What the test files may import from each other: nothing. Helpers are in tests/support."""

import ast
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports, with those that `from` may import from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names.update({module, *(f"{module}.{alias.name}" for alias in node.names)})
    return names


@pytest.mark.slow
def test_tests_import_from_each_other_only_what_is_in_support() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "tests").rglob("*.py")
        for name in imported(path)
        if name.startswith(("tests", "."))
        and name not in ("tests", "tests.support")
        and not name.startswith("tests.support.")
    }
    assert not found, "move what several test files need to tests/support"


def test_both_forms_of_import_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("import tests.a\nfrom tests import b\nfrom tests.c import d\nfrom . import e\n")
    assert {"tests.a", "tests.b", "tests.c", "tests.c.d", "..e"} <= imported(path)
