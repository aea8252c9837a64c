"""Every name of vLLM's that the code uses is there in the vLLM that is installed."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("allocator", "predictors", "runtime", "calibration", "benchmarks")


def imported() -> set[tuple[str, str]]:
    """(module, name) of everything that is imported from vLLM."""
    return {
        (node.module or "", alias.name)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "vllm"
        for alias in node.names
    }


def test_there_are_some() -> None:
    assert ("vllm", "SamplingParams") in imported()


@pytest.mark.slow
def test_every_name_is_there() -> None:
    missing = [
        f"{module}.{name}"
        for module, name in sorted(imported())
        if not hasattr(importlib.import_module(module), name)
    ]
    assert not missing
