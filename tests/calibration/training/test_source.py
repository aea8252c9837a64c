"""What a recipe trains: the language model itself, or another one with the same tokens."""

from pathlib import Path

import pytest

from allocator.errors import InputError
from benchmarks.rewriting.paths import BASE as REWRITING
from benchmarks.testbed.paths import BASE, REVISER
from calibration.training.recipes import Source
from runtime.engines.base import SamplingSettings

SOURCE = Source(model=BASE, answers="pattern:^#(.*)$", sampling=SamplingSettings())


def test_a_backbone_is_trained_in_place_of_the_model() -> None:
    assert SOURCE.trained == BASE
    assert SOURCE.model_copy(update={"backbone": REVISER}).trained == REVISER


def test_a_backbone_of_other_tokens_is_refused() -> None:
    with pytest.raises(InputError, match=r"backbone: .*its vocabulary must be that of"):
        _ = SOURCE.model_copy(update={"backbone": REWRITING}).trained


def test_labels_read_with_other_marks_are_not_taken(tmp_path: Path) -> None:
    def opened(thought: str) -> list[int]:
        marked = SOURCE.model_copy(update={"thought": thought})
        journal = marked.journal(tmp_path / "labels.jsonl", [("1+1", "2")])
        journal.add(len(journal.places), [])
        journal.close()
        return list(journal.places)

    assert opened("auto") == [0]
    assert opened("auto") == [0, 1]
    with pytest.raises(InputError, match=r"not .*thought \[T\]\.\.\.\[/T\]"):
        opened("[T]...[/T]")
    (tmp_path / "labels.jsonl").unlink()
    assert opened("none") == [0]
    with pytest.raises(InputError, match=r"it was begun with .*thought none"):
        opened("auto")


def test_a_journal_from_before_marks_were_named_is_taken(tmp_path: Path) -> None:
    SOURCE.journal(tmp_path / "labels.jsonl", []).close()
    assert '"answers":"pattern:^#(.*)$","sampling"' in (tmp_path / "labels.jsonl").read_text()
