"""The marks of thoughts: which ones count, and where they stand."""

import pytest

from runtime.solutions.marks import ThoughtMarks, thought_marks
from tests.support.tokenizers import byte_tokenizer

NAMED = "<think>...</think>"
MERGED = byte_tokenizer(merges=((">", "Ċ"),))


def named() -> ThoughtMarks:
    """Marks of several tokens, of which the last merges with a newline."""
    marks = thought_marks(MERGED, NAMED)
    assert marks is not None
    return marks


def test_marks_that_are_named_count_though_the_vocabulary_has_them_in_pieces() -> None:
    assert thought_marks(byte_tokenizer(), "auto") is None
    assert thought_marks(byte_tokenizer(), "none") is None
    found = thought_marks(byte_tokenizer(), NAMED)
    assert found is not None
    assert len(found.end) == len("</think>")
    single = thought_marks(byte_tokenizer("<think>", "</think>"), "auto")
    assert single is not None
    assert len(single.end) == 1


@pytest.mark.parametrize(
    ("text", "begun"), [("<think>\na", 7), (" \n<think>a", 9), ("a<think>", None), ("<thin", None)]
)
def test_a_thought_begins_after_its_mark(text: str, begun: int | None) -> None:
    assert named().begun(MERGED.encode(text)) == begun


def test_a_solution_may_begin_a_thought_until_its_text_says_otherwise() -> None:
    may = [
        named().may_begin(MERGED.encode(text))
        for text in ("", "\n", "\n<th", "<thi k", "\n<think>")
    ]
    assert may == [True, True, True, False, False]


@pytest.mark.parametrize("letters", [0, 1, 9, 300])
def test_an_end_of_several_tokens_is_found_by_its_text(letters: int) -> None:
    ids = MERGED.encode("a" * letters + "</think>\nb</think>")
    assert named().find_end(ids) == letters
    assert named().find_end(ids, letters + 1) == letters + 9
    assert named().length(ids, inside=True) == letters
    assert named().find_end(ids[: letters + 7]) is None
