"""Packages that do not import, and what is said of them."""

import json
from pathlib import Path

import pytest

from calibration.doctor.imports import Import, explained, imported, probed

GOMP = "libgomp.so.1: cannot open shared object file: No such file or directory"


def broken(folder: Path, package: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation of a package whose import runs the code."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.slow
def test_a_package_that_imports_has_no_error() -> None:
    assert probed("lightgbm") == Import(None)
    found = probed("torch")
    assert found.error is None
    assert found.found.keys() == {"cuda", "reason", "gpus"}
    assert json.dumps(found.found)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (f"raise OSError({GOMP!r})", f"OSError: {GOMP}"),
        ("raise RuntimeError('look up:\\n\\nthe reason\\n')", "the reason"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "it ended Python by SIGILL"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import time; time.sleep(60)", "it has not been imported within 1 seconds"),
    ],
    ids=["library", "lines", "signal", "status", "hangs"],
)
def test_an_import_that_fails_says_why_and_ends_nothing(
    code: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, "lightgbm", code, monkeypatch)
    assert probed("lightgbm", seconds=1 if "sleep" in code else 60) == Import(error)


def test_an_import_here_says_why_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_here.py").write_text("raise RuntimeError('look up:\\nthe reason')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert imported("fails_here") == Import("RuntimeError: the reason")
    assert imported("json") == Import(None)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("ModuleNotFoundError: No module named 'vllm.v1'", "vllm.v1 is not installed"),
        (f"OSError: {GOMP}", "apt-get install libgomp1"),
        ("it has not been imported within 120 seconds", "run ttc doctor again"),
        (
            "ImportError: libcudart.so.12: cannot open shared object file: No such file",
            "this build is for CUDA, and libcudart.so.12 is not here",
        ),
        (
            "ImportError: libnuma.so.1: cannot open shared object file: No such file",
            "the system library libnuma.so.1 is missing",
        ),
        (
            "RuntimeError: operator torchvision::nms does not exist",
            "pip uninstall torchvision torchaudio torchcodec",
        ),
        (
            "ImportError: vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEi",
            "built for another version of torch",
        ),
        (
            "ImportError: cannot import name 'AsyncLLM' from 'vllm.v1.engine.async_llm'",
            "install the versions that vllm requires",
        ),
        ("ValueError: of no known kind", "install vllm anew"),
    ],
)
def test_a_known_cause_is_told_in_plain_words(error: str, advice: str) -> None:
    told = explained("vllm", error)
    assert told.startswith("vllm does not import: ")
    assert advice in told
    assert told.endswith(f"({error})")
