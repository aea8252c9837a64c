"""An artifact's card: what it says, what of the user's it keeps, and its listings."""

import re
import shlex
from pathlib import Path

import pytest

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, SETTINGS
from calibration.report.artifact_files import Contents
from calibration.report.card import BEGIN, END, PICTURE, card, read_card, write_card
from runtime.artifact import CARD
from runtime.artifact.hub import HubName
from tests.support.cli import invoke
from tests.support.summaries import (
    artifact,
    minimal_summary,
    minimal_table,
    rich_summary,
    rich_table,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = SETTINGS.model_copy(update={"model": "someone/model"})
    return artifact(tmp_path / "a", rich_summary(), rich_table(), settings)


def listings(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", text, re.DOTALL)


def test_what_it_says(folder: Path) -> None:
    text = card(Contents.load(folder), "", HubName("someone/arithmetic"), "mit")
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    for line in ("library_name: ttc-allocator", "license: mit", "base_model: someone/model"):
        assert line in head.splitlines()
    assert "- test-time-compute" in head
    assert body.startswith(f"\n{BEGIN}\n# arithmetic\n")
    for words in (
        "Compute-optimal reaches 70.9% with 4.2 generations per prompt; best-of-N needs",
        "times fewer generations",
        "with 95% intervals over prompts",
        "| prompts | `240` |",
        "| model | `someone/model (b20e4c6bdfed5bb4)` |",
        r"| answers | `pattern:^#(\d+)$` |",
        "| budgets, in generations per prompt | `1, 4, 8, 16, 32, 64` |",
    ):
        assert words in body
    assert re.search(r"That is [\d.]+ \\\[[\d.]+, [\d.]+\\\] times fewer", body)
    assert PICTURE not in body
    assert str(folder) not in text


def test_the_picture_is_shown_where_the_report_has_drawn_it(folder: Path) -> None:
    (folder / PICTURE).write_bytes(b"PNG")
    assert f"]({PICTURE})" in card(Contents.load(folder), "", str(folder))


def test_commands_and_program_are_of_the_artifact_and_parse(folder: Path) -> None:
    text = card(Contents.load(folder), "", HubName("someone/arithmetic", "v1"))
    (program,) = listings(text, "python")
    compile(program, "card", "exec")
    assert "LLM.from_pretrained('someone/arithmetic@v1', budget=16)" in program
    (commands,) = listings(text, "sh")
    for line in commands.splitlines():
        _, name, *rest = shlex.split(line)
        shown = invoke(name, "--help")[1]
        assert "someone/arithmetic@v1" in rest
        assert all(option in shown for option in rest if option.startswith("--"))


OWN = {
    "none": ("", []),
    "text": ("Their own words.\n", []),
    "both": (
        "---\nlicense: mit\nodd: 7\ntags:\n- mine\n---\nWords.\n",
        ["license: mit", "odd: 7", "- mine", "- test-time-compute"],
    ),
}


@pytest.mark.parametrize(("own", "metadata"), OWN.values(), ids=OWN)
def test_the_users_own_parts_are_kept(folder: Path, own: str, metadata: list[str]) -> None:
    (folder / CARD).write_text(own)
    write_card(folder)
    first = read_card(folder)
    head = first.split("---")[1].splitlines()
    assert [line for line in metadata if line not in head] == []
    assert first.endswith(own.rpartition("---\n")[2] or f"{END}\n")
    (folder / CARD).write_text(first.replace(BEGIN, f"Before.\n\n{BEGIN}") + "After.\n")
    (folder / PICTURE).write_bytes(b"PNG")
    write_card(folder, "apache-2.0")
    again = read_card(folder)
    assert again.count(BEGIN) == again.count(END) == 1
    assert f"---\n\nBefore.\n\n{BEGIN}" in again
    assert again.endswith("After.\n")
    assert "\nlicense: apache-2.0\n" in again
    assert PICTURE in again
    write_card(folder)
    assert read_card(folder) == again


def test_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script> | `x` [a](b)\n# head"
    folder = artifact(
        tmp_path / "a", rich_summary(source=hostile, warnings=(hostile,)), rich_table(), SETTINGS
    )
    text = card(Contents.load(folder), "", str(folder))
    assert r"`<script>alert(1)</script> \| 'x' [a](b) # head`" in text
    assert r"- &lt;script&gt;alert(1)&lt;/script&gt; \| \`x\` \[a\](b) # head" in text


def test_an_artifact_from_logs_says_how_to_stop_and_to_attach(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", rich_summary(), rich_table())
    text = card(Contents.load(folder), "", HubName("someone/logs"))
    (program,) = listings(text, "python")
    compile(program, "card", "exec")
    assert "StopRule.load('someone/logs', average_budget=" in program
    assert "ttc attach someone/logs" in text
    assert "base_model" not in text
    least = artifact(tmp_path / "b", minimal_summary(), minimal_table())
    (least / "summary.json").unlink()
    assert "ttc attach" in card(Contents.load(least), "", "b")


def test_a_card_that_cannot_be_read_or_written(folder: Path, tmp_path: Path) -> None:
    for damaged in ("---\n- a list\n---\n", "---\na: [\n---\n", "---\na: b: c\n---\n"):
        (folder / CARD).write_text(damaged)
        with pytest.raises(InputError, match="its metadata cannot be read"):
            write_card(folder)
        assert read_card(folder) == damaged
    (folder / CARD).unlink()
    (folder / CARD).mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_card(folder)
    with pytest.raises(InputError, match="make one with ttc calibrate"):
        write_card(tmp_path)


def test_the_committed_artifacts_have_cards_to_write() -> None:
    assert "12.3" in card(Contents.load(ARTIFACT), "", "artifact")
