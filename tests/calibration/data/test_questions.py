"""Which questions an artifact was calibrated on: by their texts, by their numbers where need be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from allocator.errors import InputError
from calibration.data.questions import CalibratedOn
from calibration.unseen import unseen_questions
from runtime.artifact import QUESTIONS
from tests.support.logs import made_log

NUMBERS = ("0", "1", "2")
KNOWN = CalibratedOn.of({"question_id": NUMBERS, "question": ("1+1", "2+2", "3+3")})


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        # Another data set that counts from 0, too.
        ({"question_id": NUMBERS, "question": ("4+4", "5+5", "6+6")}, [False] * 3),
        # The same one, in another order.
        ({"question_id": NUMBERS, "question": ("3+3", "7+7", "1+1")}, [True, False, True]),
        # Unknown texts in a column that the other does not have say nothing: they may be templated.
        ({"question_id": ("2", "3"), "prompt": ("4+4", "5+5")}, [True, False]),
        # Known ones do, whatever their column is called.
        ({"question_id": ("2", "8"), "problem": ("4+4", "1+1")}, [False, True]),
        ({"problem": ("4+4", "1+1")}, [False, True]),
        ({"problem": ("4+4", "5+5")}, None),
        ({"question_id": ("2", "3"), "question": ("", "1+1")}, [True, True]),
        ({"question_id": ("2", "3")}, [True, False]),
        ({"question": ("3+3", "2", "9")}, [True, True, False]),
        ({"number": NUMBERS, "question": ("1+1", "2+3", "3+3")}, [True, False, True]),
        ({"number": NUMBERS}, None),
    ],
)
def test_a_question_is_known_by_its_text_before_its_number(
    names: Mapping[str, Sequence[str]], seen: list[bool] | None
) -> None:
    found = KNOWN.seen(names)
    assert (None if found is None else found.tolist()) == seen


def test_numbers_in_a_column_of_texts_are_still_numbers() -> None:
    known = CalibratedOn.of({"question": NUMBERS, "prompt": ("1+1", "2+2", "3+3")})
    others = known.seen({"question": NUMBERS, "prompt": ("4+4", "5+5", "3+3")})
    assert others is not None
    assert others.tolist() == [False, False, True]


def test_questions_without_names_are_none() -> None:
    found = KNOWN.seen({"question": ()})
    assert found is not None
    assert found.shape == (0,)


@pytest.mark.parametrize(
    ("names", "by_texts"),
    [
        ({"question_id": NUMBERS}, False),
        ({"question": NUMBERS}, False),
        ({"question_id": NUMBERS, "question": ("4+4", "5+5", "6+6")}, True),
        ({"question_id": NUMBERS, "prompt": ("4+4", "5+5", "6+6")}, False),
        ({"question_id": NUMBERS, "prompt": ("1+1", "5+5", "6+6")}, True),
    ],
)
def test_whether_questions_are_known_by_more_than_numbers(
    names: Mapping[str, Sequence[str]], by_texts: bool
) -> None:
    assert KNOWN.compares_texts(names) == by_texts


def test_the_refusal_of_questions_that_are_known_by_number_says_so(tmp_path: Path) -> None:
    names = tuple(map(str, range(20)))
    log = replace(made_log(20, 4), questions=names, question_column="question_id")
    CalibratedOn.of({"question_id": names}).save(tmp_path / QUESTIONS)
    needed = "give their text in a column question, here and in the log that is calibrated on"
    with pytest.raises(InputError, match=f"known by 'question_id' alone: if .*, {needed}, or oth"):
        unseen_questions(log, tmp_path)
    texts = tuple(f"1 + {name}" for name in names)
    CalibratedOn.of({"question_id": names, "question": texts}).save(tmp_path / QUESTIONS)
    with pytest.raises(InputError, match="give their text in a column question; test on others"):
        unseen_questions(log, tmp_path)
    with pytest.raises(InputError, match="every one of its questions; test on others"):
        unseen_questions(replace(log, aliases={"question": texts}), tmp_path)
