"""Prompt files: JSON lines with a ``prompt`` and, for calibration, its right ``answer``."""

import json
from pathlib import Path

from allocator.errors import InputError


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file.

    Raises:
        InputError: no such file, an empty one, or a line without a prompt.
    """
    return [str(row["prompt"]) for row in _rows(path, ("prompt",))]


def read_graded_prompts(path: Path) -> list[tuple[str, str]]:
    """(prompt, right answer) pairs of a file.

    Raises:
        InputError: as `read_prompts`; or a line without an answer, or a prompt twice.
    """
    pairs = [(str(r["prompt"]), str(r["answer"])) for r in _rows(path, ("prompt", "answer"))]
    seen: set[str] = set()
    for prompt, _ in pairs:
        if prompt in seen:
            raise InputError(str(path), prompt, "the prompt is there twice; list each once")
        seen.add(prompt)
    return pairs


def _rows(path: Path, fields: tuple[str, ...]) -> list[dict[str, object]]:
    try:
        lines = path.read_text().split("\n")
    except OSError as error:
        raise InputError("prompts file", str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError("prompts file", str(path), "not UTF-8 text; give JSON lines") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}", line[:60], f"not JSON: {error}") from None
        for field in fields:
            if not isinstance(row, dict) or row.get(field) in (None, ""):
                raise InputError(f"{path}, line {number}", line[:60], f"give it a {field!r} field")
        rows.append(row)
    if not rows:
        raise InputError("prompts file", str(path), "it is empty; give one JSON object a line")
    return rows
