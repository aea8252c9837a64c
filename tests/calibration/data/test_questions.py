"""Which questions an artifact was calibrated on: by their texts, by their numbers where need be."""

from collections.abc import Mapping, Sequence

import pytest

from calibration.data.questions import CalibratedOn

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
