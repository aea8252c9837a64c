"""``ttc solve --thinking``: how far a model may think, on the command line."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import InputError
from calibration.cli import solve as command
from calibration.cli.options import depth_of
from runtime.models import Models
from runtime.settings import Settings
from tests.support.cli import invoke, refused, solve
from tests.support.thinking import thinker, thinking_models


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[Models]:
    """What the command opens, in place of the testbed's: a model that thinks 30 letters."""
    opened = [thinking_models(thinker(30))]

    @asynccontextmanager
    async def opening(*_: Any) -> AsyncIterator[Models]:
        yield opened[0]

    monkeypatch.setattr(command, "open_models", opening)
    monkeypatch.setattr(Settings, "marks", lambda *_: opened[0].marks)
    return opened


def solved(*arguments: str) -> tuple[str, dict[str, Any]]:
    status, out, message = invoke(*solve("--budget", "1", *arguments, "?"))
    assert status == 0, message
    line = json.loads(out)
    return line["answer"], line["receipt"]


@pytest.mark.parametrize(
    ("options", "answer", "cap", "forced"),
    [
        ([], "30", None, 0),
        (["--thinking", "full"], "30", None, 0),
        (["--thinking", "off"], "0", 0, 0),
        (["--thinking", "11"], "10", 11, 1),
        (["--thinking", "50"], "30", 50, 0),
        (["--thinking", "21", "--plan", "best_of_n:1:11"], "10", 11, 1),
        (["--thinking", "off", "--plan", "best_of_n:1:11"], "0", 0, 0),
    ],
)
def test_thoughts_are_capped_and_the_receipt_says_so(
    models: list[Models], options: list[str], answer: str, cap: int | None, forced: int
) -> None:
    found, receipt = solved(*options)
    assert found == answer
    assert (receipt["thinking_cap"], receipt["forced_thoughts"]) == (cap, forced)
    assert (receipt["thinking_tokens"] > 0) == (answer != "0")


def test_a_model_without_thoughts_has_none_to_cap() -> None:
    message = refused(*solve("--budget", "1", "--thinking", "11", "?"))
    assert "thinking: 11: the model must have thoughts to cap" in " ".join(message.split())


def test_a_model_without_thoughts_may_have_them_off(models: list[Models]) -> None:
    models[0] = replace(models[0], marks=None)
    assert solved("--thinking", "off")[1]["thinking_tokens"] == 0


@pytest.mark.parametrize("text", ["much", "0", "-1", "1.5", "1_0", "", "Off", "9" * 5000])
def test_other_depths_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"thinking: .*give off, full, or a number of tokens"):
        depth_of(text)
    assert [depth_of(known) for known in ("off", "full", "500")] == [0, None, 500]
