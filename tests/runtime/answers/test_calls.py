"""Calls of tools: found in what models write, and compared as answers."""

import asyncio
from typing import Any

import pytest

from runtime.answers import MathAnswers, PatternAnswers
from runtime.answers.calls import CallAnswers, CallParser, EachCall
from runtime.frontend.answer_form import CallFormat, CallVote
from runtime.frontend.call_syntax import TextCalls
from tests.support.equivalent import equivalent

TOOLS = ("add", "find")
ADD = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
FIND = '{"name": "find", "arguments": {"what": "é"}}'


def form(syntax: str = "auto", **fields: Any) -> CallFormat:
    return CallFormat(TOOLS, TextCalls(syntax=syntax), **fields)


def tagged(*calls: str) -> str:
    return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)


@pytest.mark.parametrize(
    ("syntax", "text", "before", "names"),
    [
        ("auto", tagged(ADD), "", ["add"]),
        ("auto", "Let me see.\n" + tagged(ADD, FIND), "Let me see.\n", ["add", "find"]),
        ("hermes", f"<tool_call>{ADD}", "", ["add"]),  # an end of sequence may stand for the tag
        ("auto", ADD, "", ["add"]),
        ("auto", f" [{ADD}, {FIND}]\n", "", ["add", "find"]),
        ("auto", f"{ADD}\n\n{FIND}", "", ["add", "find"]),  # tags that are special tokens
        ("json", f"{ADD}; {FIND}", "", ["add", "find"]),
        ("json", '{"name": "add", "parameters": {"a": 1}}', "", ["add"]),
        ("json", '{"name": "add", "arguments": "{\\"a\\": 1}"}', "", ["add"]),
    ],
)
def test_calls_are_found(syntax: str, text: str, before: str, names: list[str]) -> None:
    said, calls = CallParser(form(syntax)).parse(text)
    assert (said, [call.name for call in calls]) == (before, names)


@pytest.mark.parametrize(
    ("syntax", "text"),
    [
        ("auto", "The answer is 5."),
        ("auto", '{"answer": 5}'),
        ("auto", '{"name": "drop", "arguments": {}}'),
        ("auto", '{"name": ["add"], "arguments": {}}'),
        ("auto", '{"name": "add"}'),
        ("auto", '{"name": "add", "arguments": [1]}'),
        ("auto", '{"name": "add", "arguments": "{"}'),
        ("auto", '{"name": "add", "arguments": {"a": NaN}}'),
        ("auto", '{"name": "add", "arguments": {"a": 1e999}}'),
        ("auto", "<tool_call>"),
        ("auto", "[" * 100_000),
        ("auto", f"{tagged(ADD)}<tool_call>nothing</tool_call>"),
        ("hermes", ADD),
        ("json", tagged(ADD)),
        ("auto", ""),
    ],
)
def test_what_is_no_call_is_text(syntax: str, text: str) -> None:
    assert CallParser(form(syntax)).parse(text) == (text, ())


def test_arguments_can_be_encoded() -> None:
    text = r'{"name": "add", "arguments": {"a": "so \ud83d"}}'
    _, (call,) = CallParser(form("json")).parse(text)
    assert call.arguments == '{"a": "so \N{REPLACEMENT CHARACTER}"}'


def test_only_the_first_call_counts_where_one_was_allowed() -> None:
    _, calls = CallParser(form(parallel=False)).parse(tagged(ADD, FIND))
    assert [(call.name, call.arguments) for call in calls] == [("add", '{"a": 1, "b": 2}')]


def reader(vote: CallVote = "call") -> CallAnswers:
    return CallAnswers(form(vote=vote), PatternAnswers(r"#(\d+)"))


def test_an_answer_is_the_calls_or_what_the_text_says() -> None:
    answers = reader()
    assert answers.extract("So\n" + tagged(ADD, FIND)) == f"[{ADD}, {FIND}]"
    assert answers.extract("So\n#12") == "12"
    assert answers.extract("So") is None
    assert asyncio.run(answers.extract_async(tagged(FIND))) == f"[{FIND}]"


def test_the_same_calls_are_equal_in_whatever_order() -> None:
    answers = reader()
    swapped = '{"name": "add", "arguments": {"b": 2.0, "a": 1}}'
    other = '{"name": "add", "arguments": {"a": 1, "b": 3}}'
    read = [answers.extract(t) for t in (tagged(ADD, FIND), f"[{FIND}, {swapped}]", other, "#1")]
    first, same, different, text = answers.canonicalize(read)
    assert first == same == read[0]
    assert (different, text) == (read[2], "1")
    assert asyncio.run(answers.canonicalize_async([None, *read])) == [None, first, same, *read[2:]]
    assert not equivalent(answers, f"[{ADD}]", f"[{ADD}, {FIND}]")
    assert not equivalent(answers, f"[{ADD}]", f"[{ADD}, {ADD}]")


def test_names_alone_may_be_compared() -> None:
    answers = reader("name")
    other = '{"name": "add", "arguments": {"a": 9}}'
    assert equivalent(answers, f"[{ADD}]", f"[{other}]")
    assert answers.canonicalize([f"[{other}]", f"[{ADD}]", "5", f"[{FIND}]"]) == [
        f"[{other}]",
        f"[{other}]",
        "5",
        f"[{FIND}]",
    ]


def test_each_call_may_be_voted_on_by_itself() -> None:
    answers = EachCall(form(vote="each"), PatternAnswers(r"#(\d+)"))
    swapped = '{"name": "add", "arguments": {"b": 2.0, "a": 1}}'
    one, other = answers.parts(f"[{FIND}, {ADD}]"), answers.parts(f"[{swapped}]")
    assert len(one) == len(set(one)) == 2
    assert set(other) < set(one)
    assert len(set(answers.parts(f"[{ADD}, {swapped}]"))) == 2
    assert set(other) < set(answers.parts(f"[{ADD}, {ADD}]"))
    assert answers.parts("12") == ["12"]


def test_texts_beside_calls_are_compared_as_the_task_has_it() -> None:
    answers = CallAnswers(form(), MathAnswers())
    assert answers.canonicalize(["1/2", f"[{ADD}]", "0.5"]) == ["1/2", f"[{ADD}]", "1/2"]
    assert answers.undecided(["1/2", f"[{ADD}]"]) == []
