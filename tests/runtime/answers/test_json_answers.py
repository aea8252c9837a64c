"""Answers that are JSON: found in solutions, and compared by value."""

import pytest

from allocator.errors import InputError
from runtime.answers import answers_for
from tests.support.equivalent import equivalent

JSON = answers_for("json")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": [2, 3]}', '{ "b":[2,3],\n"a":1 }'),
        ('{"a": 1}', '{"a": 1.0}'),
        ("100", "1e2"),
        ("0.5", "5E-1"),
        ("-0", "0"),
        ("0.0e7", "0"),
        ('"\\u00e9"', '"é"'),
        ('{"a": {"x": 1, "y": null}}', '{"a": {"y": null, "x": 1}}'),
        ("12345678901234567890123456789012345.0", "12345678901234567890123456789012345"),
    ],
)
def test_equal_values_are_equal_answers(one: str, other: str) -> None:
    assert equivalent(JSON, one, other)
    assert JSON.canonicalize([other, None, one]) == [other, None, other]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1}', '{"a": "1"}'),
        ("[1, 2]", "[2, 1]"),
        ('{"a": 1}', '{"a": 1, "b": null}'),
        ("1", "true"),
        ("0", "false"),
        ("1", "1.0000000000000000000000001"),
        ("10", "1"),
        ("1", "-1"),
        ('"a"', '"A"'),
        ('"1e0"', "1"),
        ("{", "{}"),
    ],
)
def test_other_values_are_other_answers(one: str, other: str) -> None:
    assert not equivalent(JSON, one, other)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (' {"a": 1}\n', '{"a": 1}'),
        ('So:\n```json\n{"a": 1}\n```\nDone.', '{"a": 1}'),
        ('```\n[1]\n```\nno:\n```\n{"a":\n 2}\n```', '{"a":\n 2}'),
        ('12+7=19\n{"a": 19}', '{"a": 19}'),
        ("135", "135"),
        ('{"a": 1', None),
        ("NaN", None),
        ("nothing", None),
        ("", None),
        ("[" * 100_000, None),
        ("9" * 5000, None),
        ("1e" + "9" * 5000, None),
    ],
)
def test_the_json_of_a_solution(solution: str, answer: str | None) -> None:
    assert JSON.extract(solution) == answer


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ('{"why": "it is", "sum": {"value": "Paris"}}', "Paris"),
        ('{"sum": {"value": 7.0}, "why": "other words"}', "7.0"),
        ('{"sum": {"value": [1, "é"]}}', '[1, "é"]'),
        ('{"sum": 7}', None),
        ('{"sum": {}}', None),
        ("[7]", None),
    ],
)
def test_one_field_may_be_the_answer(solution: str, answer: str | None) -> None:
    answers = answers_for("json:sum.value")
    assert answers.extract(solution) == answer
    assert equivalent(answers, "7.0", "7")
    assert equivalent(answers, "Paris", "Paris")
    assert not equivalent(answers, "Paris", "London")


def test_half_a_surrogate_pair_is_no_text() -> None:
    found = answers_for("json:name").extract(r'{"name": "so \ud83d \ud83d\ude00"}')
    assert found == "so \N{REPLACEMENT CHARACTER} \N{GRINNING FACE}"


def test_json_is_read_after_the_thought() -> None:
    assert JSON.extract('<think>{"a": 1}</think>\n{"a": 2}') == '{"a": 2}'
    assert JSON.extract('<think>{"a": 1}') is None


def test_a_name_without_a_field_is_none() -> None:
    with pytest.raises(InputError, match="json, json:FIELD"):
        answers_for("json:")
